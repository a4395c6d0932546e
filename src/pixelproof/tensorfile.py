"""Tensors and notes in one safetensors file, written whole or not at all, with a checksum of every part.

The file's header holds the notes and, beside them, a CRC-32 of the notes and of every tensor (its type, shape and
bytes), so that a flipped bit is noticed when a part is read. Files without checksums are read as they are.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from pixelproof.atomic import plain, replacing

CHECKSUMS = "checksums"
Fault = (OSError, safetensors.SafetensorError, KeyError, TypeError, ValueError, RecursionError)  # of a file that lies


def write_tensors(path: Path, tensors: Mapping[str, Tensor], notes: Mapping[str, str]) -> None:
    """Write tensors (copied to the CPU) and notes; RunError when the place cannot be written.

    Tensors that share memory are written each for itself.
    """
    own = _apart(tensors)
    sums = {"notes": _of_notes(notes), "tensors": {name: _of_tensor(tensor) for name, tensor in own.items()}}
    with replacing(path) as part:
        try:
            safetensors.torch.save_file(own, part, metadata={**notes, CHECKSUMS: json.dumps(sums)})
        except safetensors.SafetensorError as reason:
            raise OSError(str(reason)) from reason


@dataclass(frozen=True)
class TensorFile:
    """An open file: its notes, and its tensors, each read and compared with its checksum when it is asked for."""

    file: Any
    notes: Mapping[str, str]
    sums: Mapping[str, int] | None

    def keys(self) -> tuple[str, ...]:
        """The names of the tensors."""
        return tuple(self.file.keys())

    def tensor(self, name: str) -> Tensor:
        """One tensor; ValueError when it is not the one that was written."""
        found: Tensor = self.file.get_tensor(name)
        if self.sums is not None and _of_tensor(found) != self.sums[name]:
            raise ValueError(f"'{name}' differs from its checksum")
        return found

    def rows(self, name: str, rows: slice) -> Tensor:
        """Consecutive rows of a tensor, without reading the rest; they are not compared with anything."""
        found: Tensor = self.file.get_slice(name)[rows]
        return found

    def tensors(self) -> dict[str, Tensor]:
        """All tensors by name."""
        return {name: self.tensor(name) for name in self.keys()}


@contextmanager
def opened(path: Path) -> Iterator[TensorFile]:
    """A file to read from; raises FileNotFoundError, or one of `Fault` for a file that is damaged."""
    with safetensors.safe_open(plain(path), framework="pt") as file:
        notes = dict(file.metadata() or {})
        written = notes.pop(CHECKSUMS, None)
        if written is None:
            yield TensorFile(file, notes, None)
            return
        sums = json.loads(written)
        if sums["notes"] != _of_notes(notes):
            raise ValueError("the header differs from its checksum")
        if set(sums["tensors"]) != set(file.keys()):
            raise ValueError("the tensors are others than those that were written")
        yield TensorFile(file, notes, sums["tensors"])


def damage(path: Path) -> str | None:
    """What is wrong with a file, or None when it is whole and, where it has checksums, what was written."""
    try:
        with opened(path) as file:
            for name in () if file.sums is None else file.keys():
                file.tensor(name)
    except Fault as reason:
        return str(reason) or type(reason).__name__
    return None


def _apart(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors on the CPU, contiguous, no two in the same memory: the file format refuses that."""
    own: dict[str, Tensor] = {}
    taken: set[int] = set()
    for name, tensor in tensors.items():
        whole = settled(tensor)
        storage = whole.untyped_storage().data_ptr()
        own[name] = whole.clone() if storage in taken else whole
        taken.add(storage)
    return own


def settled(tensor: Tensor) -> Tensor:
    """A detached copy on the CPU whose memory is its values: contiguous, conjugated or negated for good, not lazily."""
    return tensor.detach().cpu().resolve_conj().resolve_neg().contiguous()


def _of_notes(notes: Mapping[str, str]) -> int:
    return zlib.crc32(json.dumps(dict(sorted(notes.items()))).encode())


def _of_tensor(tensor: Tensor) -> int:
    kind = f"{tensor.dtype} {tuple(tensor.shape)}".encode()
    return zlib.crc32(settled(tensor).reshape(-1).view(torch.uint8).numpy().data, zlib.crc32(kind))
