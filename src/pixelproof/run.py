"""Run: a folder that holds the results of one study; every file in it is written whole or not at all.

spec.json           what was asked for, written first
model.safetensors   the classifier
NAME.safetensors    one result each: tensors as they are, everything else as JSON in the file's header
run.json            versions, device, seconds; written last, so a folder with it is complete
"""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import subprocess
import time
import types
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from pixelproof.errors import CorruptFile, RunError

T = TypeVar("T")

FORMAT = 1


class Run:
    """A folder of results. `create` starts or continues one, `open` reads one."""

    def __init__(self, folder: Path, spec: Mapping[str, Any]) -> None:
        self.folder = folder
        self.spec = spec

    @classmethod
    def create(cls, folder: Path, spec: Mapping[str, Any]) -> Run:
        """A new run, or the unfinished or finished one that the same spec has already begun there.

        Raises RunError when the folder cannot be written, holds another study's run, or something else altogether.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if (folder / "spec.json").exists():
                run = cls.open(folder)
                if run.spec != json.loads(json.dumps(spec)):
                    changed = ", ".join(sorted(key for key in {*run.spec, *spec} if run.spec.get(key) != spec.get(key)))
                    raise RunError(
                        str(folder), "holds a run with other settings", changed, "Choose another folder, or delete it."
                    )
                return run
            if any(folder.iterdir()):
                raise RunError(str(folder), "must be empty or hold a run", "other files", "Choose another folder.")
            run = cls(folder, spec)
            run._write_json("spec.json", {"format": FORMAT, "spec": dict(spec)})
        except OSError as reason:
            raise RunError(str(folder), "must be writable", reason, "Choose another folder with --out.") from reason
        return run

    @classmethod
    def open(cls, folder: Path) -> Run:
        """The run in `folder`, complete or not; RunError when there is none or a newer version wrote it."""
        try:
            stored = json.loads((folder / "spec.json").read_text())
            written, spec = int(stored["format"]), stored["spec"]
        except (FileNotFoundError, NotADirectoryError) as reason:
            raise RunError(
                str(folder), "expected a run folder", "no spec.json", "Give a folder of 'pixelproof run'."
            ) from reason
        except (ValueError, KeyError, TypeError) as reason:
            raise RunError(
                str(folder), "spec.json must be readable", reason, "Run the study again elsewhere."
            ) from reason
        if written > FORMAT:
            do = "Upgrade pixelproof to read it."
            raise RunError(str(folder), f"this version reads run format {FORMAT}", f"format {written}", do)
        return cls(folder, spec)

    @property
    def complete(self) -> bool:
        """Whether the study came to its end."""
        return (self.folder / "run.json").is_file()

    @property
    def facts(self) -> dict[str, Any]:
        """Versions, device and seconds of a complete run; empty before."""
        path = self.folder / "run.json"
        return dict(json.loads(path.read_text())) if path.is_file() else {}

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
        plain = _flatten(value, "", tensors)
        path = self.path(name)
        with _replacing(path) as part:
            safetensors.torch.save_file(tensors, part, metadata={"plain": json.dumps(plain)})

    def load(self, name: str, kind: type[T]) -> T:
        """A result read back as the dataclass it was saved from."""
        path = self.path(name)
        try:
            with safetensors.safe_open(path, framework="pt") as file:
                plain = json.loads((file.metadata() or {})["plain"])
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            value: T = _build(kind, plain, "", tensors)
        except FileNotFoundError as reason:
            raise RunError(
                str(self.folder), f"has no result '{name}'", do="Run the study to its end first."
            ) from reason
        except (safetensors.SafetensorError, KeyError, TypeError, ValueError) as reason:
            raise CorruptFile(
                str(path), f"expected a saved {kind.__name__}", reason, "Delete it and run again."
            ) from reason
        return value

    def finish(self, facts: Mapping[str, Any]) -> None:
        """Write run.json, and with it declare the run complete."""
        self._write_json("run.json", {"format": FORMAT, "finished": time.time(), **environment(), **facts})

    def _write_json(self, name: str, value: Mapping[str, Any]) -> None:
        write_whole(self.folder / name, json.dumps(value, indent=1).encode())


def write_whole(path: Path, content: bytes) -> None:
    """Write a file whole or not at all; RunError when it cannot be written."""
    with _replacing(path) as part:
        part.write_bytes(content)


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """A file to write instead of `path`, which it replaces afterwards; on any failure it is gone."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        os.replace(part, path)
    except (OSError, safetensors.SafetensorError) as reason:
        raise RunError(str(path), "must be writable", reason, "Free some space or choose another folder.") from reason
    finally:
        with suppress(OSError):
            part.unlink()


def environment() -> dict[str, Any]:
    """What a number depends on besides its spec: versions, revision, processor, threads."""
    here = Path(__file__).parent
    asked = ["git", "-C", str(here), "describe", "--always", "--dirty"]
    try:
        revision = subprocess.run(asked, capture_output=True, text=True, timeout=10).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        revision = ""
    return {
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("pixelproof", "torch", "numpy")},
        },
        "revision": revision,
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "threads": torch.get_num_threads(),
    }


def _flatten(value: Any, prefix: str, tensors: dict[str, Tensor]) -> Any:
    """The JSON part of a value; tensors are put aside under their dotted path."""
    if isinstance(value, Tensor):
        whole = value.detach().cpu().contiguous()
        storage = whole.untyped_storage().data_ptr()
        shared = any(storage == other.untyped_storage().data_ptr() for other in tensors.values())
        tensors[prefix] = whole.clone() if shared else whole  # the file format refuses shared memory
        return None
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = [field.name for field in dataclasses.fields(value)]
        return {name: _flatten(getattr(value, name), f"{prefix}.{name}".lstrip("."), tensors) for name in fields}
    if isinstance(value, Mapping):
        return {key: _flatten(item, f"{prefix}.{key}", tensors) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_flatten(item, f"{prefix}.{k}", tensors) for k, item in enumerate(value)]
    return value


def _build(hint: Any, plain: Any, prefix: str, tensors: Mapping[str, Tensor]) -> Any:
    """The value of type `hint` from its JSON part and the tensors under its dotted path."""
    if prefix in tensors:
        return tensors[prefix]
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        hints = get_type_hints(hint)
        values = {
            field.name: _build(hints[field.name], plain[field.name], f"{prefix}.{field.name}".lstrip("."), tensors)
            for field in dataclasses.fields(hint)
            if field.init
        }
        return hint(**values)
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        kinds = [kind for kind in inner if kind is not type(None)]
        return None if plain is None else _build(kinds[0], plain, prefix, tensors)
    if origin is tuple:
        return tuple(_build(inner[0], item, f"{prefix}.{k}", tensors) for k, item in enumerate(plain))
    if origin is dict:
        return {key: _build(inner[1], item, f"{prefix}.{key}", tensors) for key, item in plain.items()}
    return plain
