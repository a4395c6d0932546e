"""Readers for the official file formats: IDX (MNIST, Fashion-MNIST) and the CIFAR-10 binary version."""

from __future__ import annotations

import gzip
import struct
import zlib
from math import prod
from pathlib import Path

import torch
from jaxtyping import UInt8
from torch import Tensor

from pixelproof.errors import CorruptFile
from pixelproof.types import Labels

IDX_UINT8 = 8
CIFAR_SHAPE = (3, 32, 32)
CIFAR_RECORD = 1 + prod(CIFAR_SHAPE)


def read_idx(path: Path, dims: int) -> UInt8[Tensor, ...]:
    """The uint8 array with `dims` axes in an IDX file, gzipped or not (the content decides, not the name).

    Raises CorruptFile when the header is not that of such an array or the length contradicts the header.
    """
    who = str(path)
    try:
        with path.open("rb") as plain:
            zipped = plain.read(2) == b"\x1f\x8b"
        with gzip.open(path) if zipped else path.open("rb") as stream:
            magic = stream.read(4)
            if magic != bytes((0, 0, IDX_UINT8, dims)):
                expected = f"expected the IDX header of a uint8 array with {dims} axes (00 00 08 {dims:02d})"
                raise CorruptFile(who, expected, magic.hex(" ") or "an empty file", "Remove it and fetch it again.")
            header = stream.read(4 * dims)
            if len(header) < 4 * dims:
                raise CorruptFile(who, "expected a whole IDX header", "a truncated one", "Fetch the file again.")
            shape = struct.unpack(f">{dims}I", header)
            size = prod(shape)
            content = bytearray(stream.read(size + 1))
    except (EOFError, zlib.error, gzip.BadGzipFile) as problem:
        raise CorruptFile(who, "expected a whole gzip file", problem, "Remove it and fetch it again.") from problem
    if not size:
        raise CorruptFile(who, "expected at least one entry", f"shape {shape}", "Remove it and fetch it again.")
    if len(content) != size:
        got = f"{len(content)} bytes" if len(content) < size else "more"
        raise CorruptFile(who, f"expected {size} bytes for shape {shape}", got, "Remove it and fetch it again.")
    return torch.frombuffer(content, dtype=torch.uint8).reshape(shape)


def read_cifar10(path: Path) -> tuple[UInt8[Tensor, "n 3 32 32"], Labels]:
    """Images and labels of one CIFAR-10 binary file: records of one label byte and 3072 pixels, in any order."""
    content = bytearray(path.read_bytes())
    if not content or len(content) % CIFAR_RECORD:
        expected = f"expected whole CIFAR-10 records of {CIFAR_RECORD} bytes"
        raise CorruptFile(str(path), expected, f"{len(content)} bytes", "Remove it and fetch it again.")
    records = torch.frombuffer(content, dtype=torch.uint8).reshape(-1, CIFAR_RECORD)
    return records[:, 1:].reshape(-1, *CIFAR_SHAPE), records[:, 0].long()
