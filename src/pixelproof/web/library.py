"""Library: the runs and folders of commands a server was started with, by name; nothing else can be asked for."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from pixelproof.errors import PixelproofError, RunError, UnknownName
from pixelproof.run import Run
from pixelproof.views import OpenRun
from pixelproof.views.commands import CommandCard, command_card, is_command
from pixelproof.views.runs import RunCard, card

FRESH = 2.0  # seconds between two looks at the folder of a run that is not complete
MOST = 200
OF_A_STUDY = ("name", "title", "data", "model", "attacks")


class Library:
    """Runs by the name of their folder. A run that grows, or is replaced, is opened again.

    `commands` are folders that single commands kept; `page` makes the page of one.
    """

    def __init__(
        self, folders: Sequence[Path], root: Path | None = None, page: Callable[[Run], str] | None = None
    ) -> None:
        self.root, self._page = root, page
        self.folders, self.commands, self.damaged = _named(folders)
        self._open: dict[str, tuple[OpenRun, tuple[object, ...], float]] = {}
        self._lock = threading.Lock()

    def names(self) -> list[str]:
        """The runs, in the order they were given."""
        return list(self.folders)

    def opened(self, name: str) -> OpenRun:
        """The run of that name; UnknownName when it was not among those the server was started with."""
        if name not in self.folders:
            raise UnknownName("explore", "run", name[:80], self.folders)
        with self._lock:
            kept = self._open.get(name)
            if kept is not None and (kept[0].run.complete and self._mark(name) == kept[1]):
                return kept[0]
            now = time.monotonic()
            if kept is not None and self._mark(name) == kept[1] and now - kept[2] < FRESH:
                return kept[0]
            opened = OpenRun(Run.open(self.folders[name]), name, self.root)
            self._open[name] = (opened, self._mark(name), now)
            return opened

    def command_cards(self) -> tuple[CommandCard, ...]:
        """The folders of commands as the list shows them; those that cannot be read are named in `damaged`."""
        found = []
        for name, folder in self.commands.items():
            try:
                found.append(command_card(Run.open(folder), name))
                self.damaged.pop(name, None)
            except Exception as reason:  # what a damaged file may lead to has no one kind
                self.damaged[name] = _said(reason)
        return tuple(found)

    def command_page(self, name: str) -> str:
        """The page of a command's folder; UnknownName for another name, RunError where it is not finished."""
        if name not in self.commands or self._page is None:
            raise UnknownName("explore", "folder of a command", name[:80], self.commands)
        return self._page(Run.open(self.commands[name]))

    def card(self, name: str, busy: AbstractContextManager[object]) -> RunCard | None:
        """What the list of runs says of a run, made while `busy` is held; None for a damaged one.

        `damaged` then says what is wrong: a run that cannot be read keeps nobody from looking at the others.
        """
        try:
            opened = self.opened(name)
            with nullcontext() if opened.keeps(card) else busy:
                found = opened.kept(card)
        except Exception as reason:  # what a damaged file may lead to has no one kind
            self.damaged[name] = _said(reason)
            return None
        self.damaged.pop(name, None)
        return found

    def _mark(self, name: str) -> tuple[object, ...]:
        """Changes when the run is finished or replaced."""
        found = []
        for file in ("spec.json", "run.json", "seconds.json"):
            try:
                found.append((self.folders[name] / file).stat().st_mtime_ns)
            except OSError:
                found.append(0)
        return tuple(found)


def _named(folders: Sequence[Path]) -> tuple[dict[str, Path], dict[str, Path], dict[str, str]]:
    """Every run folder among `folders`, or one level below them, with a name that fits a URL.

    Those of studies, those of single commands, and the damaged ones; RunError where there is none.
    """
    found: dict[Path, bool] = {}  # whether a study wrote it
    damaged: dict[str, str] = {}
    for folder in folders:
        own = {}
        for each in _below(folder):
            try:
                own[each.resolve()] = _is_study(each)
            except PixelproofError as reason:
                damaged[each.name] = _said(reason)
        if not own:
            do = "Give a folder that 'pixelproof run' wrote or that a command kept with --out, or one that holds such."
            got = "; ".join(damaged.values()).removesuffix(".") or "none"
            raise RunError(str(folder), "expected a run", got, do)
        found |= own
    names: dict[str, Path] = {}
    for path in list(found)[:MOST]:
        base = re.sub(r"[^A-Za-z0-9._-]+", "-", path.name).strip(".-") or "run"
        name, number = base, 2
        while name in names:
            name, number = f"{base}-{number}", number + 1
        names[name] = path
    studies = {name: path for name, path in names.items() if found[path]}
    return studies, {name: path for name, path in names.items() if name not in studies}, damaged


def _below(folder: Path) -> list[Path]:
    """The folder itself when it holds a run, else the folders in it that do."""
    try:
        own = (folder / "spec.json").is_file()
        return [folder] if own else sorted(path.parent for path in folder.glob("*/spec.json"))
    except OSError as reason:  # a name of 500 characters
        raise RunError(str(folder)[:200], "expected a folder of runs", reason) from reason


def _is_study(folder: Path) -> bool:
    """Whether a study wrote a run folder, and not a single command; RunError where nobody wrote what is there."""
    run = Run.open(folder)
    if is_command(run):
        return False
    missing = [key for key in OF_A_STUDY if key not in run.spec]
    if missing:
        do = "Run the study again elsewhere."
        raise RunError(str(folder), "spec.json must hold a study", f"none with {', '.join(missing)}", do)
    return True


def _said(reason: Exception) -> str:
    """What is wrong, in one line."""
    text = str(reason) if isinstance(reason, PixelproofError) else f"{type(reason).__name__}: {reason}"
    return " ".join(text.split())[:300]
