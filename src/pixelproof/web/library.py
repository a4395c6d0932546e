"""Library: the runs a server was started with, by name; nothing else on the disk can be asked for."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from pixelproof.errors import RunError, UnknownName
from pixelproof.run import Run
from pixelproof.views.explorer import OpenRun

FRESH = 2.0  # seconds between two looks at the folder of a run that is not complete
MOST = 200


class Library:
    """Runs by the name of their folder. A run that grows, or is replaced, is opened again."""

    def __init__(self, folders: Sequence[Path], root: Path | None = None) -> None:
        self.root = root
        self.folders = _named(folders)
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

    def _mark(self, name: str) -> tuple[object, ...]:
        """Changes when the run is finished or replaced."""
        found = []
        for file in ("spec.json", "run.json", "seconds.json"):
            try:
                found.append((self.folders[name] / file).stat().st_mtime_ns)
            except OSError:
                found.append(0)
        return tuple(found)


def _named(folders: Sequence[Path]) -> dict[str, Path]:
    """Every run folder among `folders`, or one level below them, with a name that fits a URL.

    Raises RunError where there is none.
    """
    found: list[Path] = []
    for folder in folders:
        below = sorted(path.parent for path in folder.glob("*/spec.json"))
        own = [folder] if (folder / "spec.json").is_file() else below
        own = [each for each in own if _is_study(each)]
        if not own:
            do = "Give a folder that 'pixelproof run' wrote, or one that holds such folders."
            raise RunError(str(folder), "expected a run of a study", "none", do)
        found += [each.resolve() for each in own]
    names: dict[str, Path] = {}
    for path in dict.fromkeys(found[:MOST]):
        base = re.sub(r"[^A-Za-z0-9._-]+", "-", path.name).strip(".-") or "run"
        name, number = base, 2
        while name in names:
            name, number = f"{base}-{number}", number + 1
        names[name] = path
    return names


def _is_study(folder: Path) -> bool:
    """Whether a study wrote a run folder; other commands (audit, evaluate) keep folders of another content."""
    return "command" not in Run.open(folder).spec
