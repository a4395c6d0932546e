"""Run: a folder that holds the results of one study; every file in it is written whole or not at all.

spec.json           what was asked for, written first
model.safetensors   the classifier
NAME.safetensors    one result each: tensors as they are, everything else as JSON in the file's header
seconds.json        seconds spent in each stage so far
run.json            versions, device, seconds; written last, so a folder with it is complete

One process at a time writes into a run; everybody may read it.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias, TypeVar

import torch
from torch import Tensor

from pixelproof.atomic import plain, write_whole
from pixelproof.errors import CorruptFile, RunError
from pixelproof.owner import Ownership, sweep, take
from pixelproof.tensorfile import Fault, TensorFile, damage, opened, write_tensors
from pixelproof.tree import build, flatten

T = TypeVar("T")

FORMAT = 1
SPEC, SECONDS, FINISHED = "spec.json", "seconds.json", "run.json"
SEALS = ("store.safetensors", "guard.safetensors")  # written last into a folder, which without it is not read
ENVIRONMENT = ("finished", "versions", "revision", "machine", "threads")
FACTS: Mapping[str, tuple[type, ...]] = MappingProxyType(
    {
        "finished": (int, float),
        "versions": (dict,),
        "revision": (str,),
        "machine": (str,),
        "threads": (int,),
        "device": (str,),
        "seconds": (dict, float, int),  # by stage of a study; of a command as a whole
    }
)


class Run:
    """A folder of results. `create` starts or continues one, `open` reads one."""

    def __init__(self, folder: Path, spec: Mapping[str, Any]) -> None:
        self.folder = folder
        self.spec = spec
        self.damaged: Mapping[str, str] = {}
        self._owned: Ownership | None = None

    @classmethod
    def create(cls, folder: str | Path, spec: Mapping[str, Any], *, grows: Grows | None = None) -> Run:
        """A new run, or the unfinished or finished one that the same spec has already begun there.

        A run with another spec is taken up, too, where `grows(it, the spec given)` says that all of its results belong
        to the new one; it is then unfinished again. Results that are not what was written are taken away, so that they
        are made again; `damaged` says which, and what was wrong with them.

        The folder belongs to this process until the run is finished, or forgotten. Raises RunError when the folder
        cannot be written, is written by another process, or holds another study's run or something else altogether.
        """
        folder = Path(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            begun = (folder / SPEC).exists()
            if not begun and any(not path.name.startswith(".") for path in folder.iterdir()):
                raise RunError(str(folder), "must be empty or hold a run", "other files", "Choose another folder.")
            owned = take(folder)
            try:
                run = cls._taken_up(folder, spec, grows) if begun else cls._begun(folder, spec)
            except BaseException:
                owned.release()
                raise
        except OSError as reason:
            raise RunError(str(folder), "must be writable", reason, "Choose another folder with --out.") from reason
        run._owned = owned
        weakref.finalize(run, owned.release)
        return run

    @classmethod
    def _begun(cls, folder: Path, spec: Mapping[str, Any]) -> Run:
        run = cls(folder, spec)
        run._write_json(SPEC, {"format": FORMAT, "spec": dict(spec)})
        return run

    @classmethod
    def _taken_up(cls, folder: Path, spec: Mapping[str, Any], grows: Grows | None) -> Run:
        """The run that is there, cleaned of what cannot be used."""
        run = cls.open(folder)
        if run.spec != json.loads(json.dumps(spec)):
            if grows is not None and grows(run, spec):
                (folder / FINISHED).unlink(missing_ok=True)  # before the spec: never complete without the rest
            elif run.names():
                changed = ", ".join(sorted(key for key in {*run.spec, *spec} if run.spec.get(key) != spec.get(key)))
                raise RunError(
                    str(folder), "holds a run with other settings", changed, "Choose another folder, or delete it."
                )
            run = cls._begun(folder, spec)
        sweep(folder)
        run.damaged = {name: why for name in run.names() if (why := damage(run.path(name))) is not None}
        for name in (SECONDS, FINISHED):
            try:
                _read_json(folder / name)
            except RunError as reason:
                run.damaged = {**run.damaged, name: str(reason)}
        for name in run.damaged:
            run._drop(name)
        return run

    def _drop(self, name: str) -> None:
        """Take a damaged file away, and with it whatever says that its folder, or the run, is whole."""
        (self.folder / FINISHED).unlink(missing_ok=True)
        path = self.folder / name if name in (SECONDS, FINISHED) else self.path(name)
        for folder in path.parents[: len(path.relative_to(self.folder).parents)]:
            for seal in SEALS:
                (folder / seal).unlink(missing_ok=True)
        path.unlink(missing_ok=True)

    @classmethod
    def open(cls, folder: str | Path) -> Run:
        """The run in `folder`, complete or not; RunError when there is none or another version wrote it."""
        folder = Path(folder)
        stored = _read_json(folder / SPEC)
        if stored is None:
            raise RunError(str(folder), "expected a run folder", "no spec.json", "Give a folder of 'pixelproof run'.")
        if not isinstance(stored.get("spec"), dict):
            raise RunError(str(folder), "spec.json must hold a study", do="Run the study again elsewhere.")
        return cls(folder, stored["spec"])

    @property
    def complete(self) -> bool:
        """Whether the study came to its end."""
        return (self.folder / FINISHED).is_file()

    @property
    def facts(self) -> dict[str, Any]:
        """Versions, device and seconds of a complete run; empty before. RunError for a damaged file."""
        found = _read_json(self.folder / FINISHED)
        if found is None:
            return {}
        for name, kind in FACTS.items():
            if name in found and not isinstance(found[name], kind):
                raise _unreadable(self.folder / FINISHED, f"{name} of type {type(found[name]).__name__}")
        missing = [name for name in ENVIRONMENT if name not in found]
        if missing:
            raise _unreadable(self.folder / FINISHED, f"no {', '.join(missing)}")
        return found

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds spent in each stage so far, interrupted attempts included."""
        stages = (_read_json(self.folder / SECONDS) or {}).get("stages", {})
        if not isinstance(stages, dict) or not all(isinstance(value, int | float) for value in stages.values()):
            raise _unreadable(self.folder / SECONDS, "no seconds by stage")
        return stages

    def spend(self, stage: str, seconds: float) -> None:
        """Add to the seconds of a stage."""
        stages = {**self.seconds, stage: self.seconds.get(stage, 0.0) + seconds}
        self._write_json(SECONDS, {"format": FORMAT, "stages": stages})

    def names(self, prefix: str = "") -> list[str]:
        """The results that are there, sorted; `prefix` keeps one family, such as "attack/"."""
        found = (
            path.relative_to(self.folder).with_suffix("").as_posix() for path in self.folder.rglob("*.safetensors")
        )
        return sorted(name for name in found if name.startswith(prefix) and not Path(name).name.startswith("."))

    def has(self, name: str) -> bool:
        """Whether a result is there, whole."""
        return self.path(name).is_file()

    def path(self, name: str) -> Path:
        """The file of a result."""
        return self.folder / f"{name}.safetensors"

    def save(self, name: str, value: Any) -> None:
        """Write a frozen dataclass of tensors and plain values; nothing is left behind when it fails."""
        tensors: dict[str, Tensor] = {}
        plain = flatten(value, "", tensors)
        write_tensors(self.path(name), tensors, {"plain": json.dumps(plain)})

    def load(self, name: str, kind: type[T]) -> T:
        """A result read back as the dataclass it was saved from."""
        with self._opened(name, kind.__name__) as file:
            value: T = build(kind, json.loads(file.notes["plain"]), "", file.tensors())
        return value

    def plain(self, name: str) -> dict[str, Any]:
        """The values of a result that are no tensors, without reading the tensors; RunError when it is not there."""
        with self._opened(name) as file:
            found: dict[str, Any] = json.loads(file.notes["plain"])
            return found

    def keys(self, name: str) -> frozenset[str]:
        """The dotted paths of a result's tensors."""
        with self._opened(name) as file:
            return frozenset(file.keys())

    def tensor(self, name: str, key: str, rows: slice | None = None) -> Tensor:
        """One tensor of a result (its dotted path), or consecutive rows of it, without reading the rest."""
        with self._opened(name) as file:
            return file.tensor(key) if rows is None else file.rows(key, rows)

    @contextmanager
    def _opened(self, name: str, kind: str = "result") -> Iterator[TensorFile]:
        """The file of a result, opened; RunError or CorruptFile instead of what reading may raise."""
        path = self.path(name)
        try:
            with opened(path) as file:
                yield file
        except FileNotFoundError as reason:
            raise RunError(
                str(self.folder), f"has no result '{name}'", do="Run the study to its end first."
            ) from reason
        except Fault as reason:
            raise CorruptFile(str(path), f"expected a saved {kind}", reason, "Delete it and run again.") from reason

    def finish(self, facts: Mapping[str, Any]) -> None:
        """Write run.json, and with it declare the run complete; the folder is given free."""
        self._write_json(FINISHED, {"format": FORMAT, "finished": time.time(), **environment(), **facts})
        self.release()

    def withdraw(self) -> None:
        """Undo the beginning of a run that has nothing in it yet, and let other processes write into the folder."""
        if not [path for path in self.folder.iterdir() if path.name != SPEC and not path.name.startswith(".")]:
            (self.folder / SPEC).unlink(missing_ok=True)
        self.release()
        with suppress(OSError):
            self.folder.rmdir()

    def release(self) -> None:
        """Let other processes write into the folder."""
        if self._owned is not None:
            self._owned.release()

    def _write_json(self, name: str, value: Mapping[str, Any]) -> None:
        write_whole(self.folder / name, json.dumps(value, indent=1))


Grows: TypeAlias = Callable[[Run, Mapping[str, Any]], bool]


def slug(spec: str) -> str:
    """A spec string as part of a result's name."""
    return "".join(letter if letter.isalnum() or letter in "-." else "-" for letter in spec)


def _read_json(path: Path) -> dict[str, Any] | None:
    """One of a run's JSON files, or None when it is not there; RunError when damaged or of another version."""
    try:
        stored = json.loads(plain(path).read_text())
        written = stored["format"]
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as reason:
        raise _unreadable(path, reason) from reason
    if type(written) is not int or written < 1:
        raise _unreadable(path, f"format {str(written)[:40]}")
    if written > FORMAT:
        do = "Upgrade pixelproof to read it."
        raise RunError(str(path), f"this version reads run format {FORMAT}", f"format {str(written)[:40]}", do)
    return dict(stored)


def _unreadable(path: Path, reason: object) -> RunError:
    do = "Run the study again elsewhere." if path.name == SPEC else "Run the same study again: it is written anew."
    return RunError(str(path), "must be readable", reason, do)


def environment() -> dict[str, Any]:
    """What a number depends on besides its spec: versions, revision, processor, threads."""
    tree = Path(__file__).parents[2]
    asked = ["git", "-C", str(tree), "describe", "--always", "--dirty"]
    revision = ""
    if (tree / ".git").exists():  # else an installed package, perhaps inside somebody else's repository
        with suppress(OSError, subprocess.TimeoutExpired):
            revision = subprocess.run(asked, capture_output=True, text=True, timeout=10).stdout.strip()
    return {
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("pixelproof", "torch", "numpy")},
        },
        "revision": revision,
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "threads": torch.get_num_threads(),
    }
