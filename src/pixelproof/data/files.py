"""Readers for files that hold many images: IDX (MNIST), the CIFAR-10 binary version, and .npz."""

from __future__ import annotations

import gzip
import io
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Collection
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from pixelproof.errors import BadInput, CorruptFile
from pixelproof.types import Labels

AGAIN = "Remove the file and fetch it again."
WRITE_NPZ = "Write it with numpy.savez(path, images=..., labels=...)."
IDX_UINT8 = 8
GZIP_MAGIC = b"\x1f\x8b"
ZIP_MAGIC = b"PK"
BROKEN_ZIP = (  # what NumPy and zipfile raise for archives that are cut, forged or too large
    *(OSError, EOFError, KeyError, ValueError, RuntimeError, TypeError, AttributeError, OverflowError, MemoryError),
    *(SyntaxError, tokenize.TokenError, struct.error, zipfile.BadZipFile, zlib.error),
)
CIFAR_SHAPE = (3, 32, 32)
CIFAR_CLASSES = 10
CIFAR_RECORD = 1 + prod(CIFAR_SHAPE)


@dataclass(frozen=True)
class Content:
    """What a person's own folder or .npz holds; `place` is 0 train, 1 val, 2 test where the folders already say so.

    `names` say where each image lies: its path, or its row.
    """

    pixels: UInt8[Tensor, "n c h w"]
    labels: Labels
    classes: tuple[str, ...]
    place: Labels | None = None
    names: tuple[str, ...] = ()


def check_plain(path: Path, who: str) -> None:
    """Refuse a path that is not there, and a folder, a pipe or a device, whose reading may never end."""
    if not path.exists():
        raise BadInput(who, "the file must exist", path)
    if not path.is_file():
        got = "a folder" if path.is_dir() else "a pipe or a device"
        raise BadInput(str(path), "expected a file", got, "Give a plain file.")


def read_bytes(path: Path) -> bytes:
    """The whole content of a plain file; BadInput when it cannot be read at all."""
    if path.exists():
        check_plain(path, str(path))
    try:
        return path.read_bytes()
    except OSError as problem:
        do = "Check that it exists and may be read."
        raise BadInput(str(path), "expected a readable file", problem.strerror, do) from problem


def read_idx(path: Path, dims: int) -> UInt8[Tensor, "*dims"]:
    """The uint8 array with `dims` axes in an IDX file, gzipped or not (the content decides, not the name).

    Raises CorruptFile when the header is not that of such an array or the length contradicts the header.
    """
    who, content = str(path), read_bytes(path)
    if content.startswith(GZIP_MAGIC):
        try:
            content = gzip.decompress(content)
        except (EOFError, zlib.error, gzip.BadGzipFile) as problem:
            raise CorruptFile(who, "expected a whole gzip file", str(problem).rstrip("."), AGAIN) from problem
    magic, start = content[:4], 4 + 4 * dims
    if magic != bytes((0, 0, IDX_UINT8, dims)):
        expected = f"expected the IDX header of a uint8 array with {dims} axes, 00 00 08 {dims:02d}"
        raise CorruptFile(who, expected, magic.hex(" ") or "an empty file", AGAIN)
    if len(content) < start:
        raise CorruptFile(who, f"expected an IDX header of {start} bytes", f"{len(content)} bytes", AGAIN)
    shape = struct.unpack(f">{dims}I", content[4:start])
    if not prod(shape) or len(content) - start != prod(shape):
        expected = f"expected {prod(shape):,} bytes for the shape {shape} in its header, and at least one"
        raise CorruptFile(who, expected, f"{len(content) - start:,} bytes", AGAIN)
    return torch.frombuffer(bytearray(content), dtype=torch.uint8, offset=start).reshape(shape)


def read_cifar10(path: Path) -> tuple[UInt8[Tensor, "n 3 32 32"], Labels]:
    """Images and labels of one CIFAR-10 binary file: records of one label byte and 3072 pixels, in any order."""
    content = bytearray(read_bytes(path))
    if not content or len(content) % CIFAR_RECORD:
        expected = f"expected whole CIFAR-10 records of {CIFAR_RECORD} bytes"
        raise CorruptFile(str(path), expected, f"{len(content):,} bytes", AGAIN)
    records = torch.frombuffer(content, dtype=torch.uint8).reshape(-1, CIFAR_RECORD)
    labels = records[:, 0].long()
    if int(labels.max()) >= CIFAR_CLASSES:
        row = int(labels.argmax())
        expected = f"expected label bytes 0..{CIFAR_CLASSES - 1}"
        raise CorruptFile(str(path), expected, f"{int(labels[row])} in record {row}", AGAIN)
    return records[:, 1:].reshape(-1, *CIFAR_SHAPE), labels


def read_npz(path: Path) -> Content:
    """A NumPy archive with `images` (uint8, n×h×w or n×h×w×c with 1 or 3 channels), `labels` and perhaps `classes`.

    Without `classes` (one name per label) the classes are "0", "1", ... up to the largest label, and each of these must
    occur. Nothing is unpickled.
    """
    arrays, found = read_arrays(path, ("images", "labels", "classes"))
    if not {"images", "labels"} <= arrays.keys():
        raise BadInput(str(path), "expected the arrays 'images' and 'labels'", found or "none", WRITE_NPZ)
    return _content(str(path), arrays["images"], arrays["labels"], arrays.get("classes"))


def read_arrays(path: Path, wanted: Collection[str]) -> tuple[dict[str, np.ndarray], str]:
    """The arrays of these names in a NumPy archive, as far as they are there, and the names of all that are.

    Raises CorruptFile for another kind of file, a damaged one, and one that holds objects or no arrays.
    """
    who, content = str(path), read_bytes(path)
    try:
        if not content.startswith(ZIP_MAGIC):
            raise zipfile.BadZipFile("another kind of file")
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files if key in wanted}
            found = ", ".join(archive.files)
    except BROKEN_ZIP as problem:
        got = (str(problem).splitlines() or [""])[0][:160].rstrip(".") or type(problem).__name__
        raise CorruptFile(who, "expected a NumPy .npz archive of plain arrays", got, WRITE_NPZ) from problem
    for key, value in arrays.items():
        if not isinstance(value, np.ndarray):
            raise CorruptFile(who, f"'{key}' must be an array", type(value).__name__, WRITE_NPZ)
    return arrays, found


def _check_counted(who: str, labels: np.ndarray) -> None:
    """Refuse labels that skip a number where no names say which classes there are: one-based ones, or with gaps."""
    counts = np.bincount(labels.astype(np.int64))
    missing = np.flatnonzero(counts == 0)
    if len(missing):
        listed = ", ".join(map(str, missing[:5].tolist())) + (", ..." if len(missing) > 5 else "")
        do = "Number them from 0 without gaps (one-based: labels - 1), or name every class in the array 'classes'."
        raise BadInput(who, f"labels up to {len(counts) - 1} must all occur", f"no image of {listed}", do)


def _content(who: str, images: np.ndarray, labels: np.ndarray, names: np.ndarray | None) -> Content:
    """The arrays of an archive, checked, with channels first."""
    if images.dtype != np.uint8:
        floats = images.dtype.kind == "f" and images.size > 0
        small = floats and float(np.nanmax(images)) <= 1
        do = "Save (255 * images).round() as uint8." if small else "Save them as uint8: images.round().astype('uint8')."
        got = f"{images.dtype} up to {float(np.nanmax(images)):.4g}" if floats else str(images.dtype)
        raise BadInput(who, "images must be uint8, 0 to 255", got, do)
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or images.shape[3] not in (1, 3) or not images.size:
        do = "Put the channels last."
        raise BadInput(who, "images must be n×h×w or n×h×w×c with 1 or 3 channels", f"shape {images.shape}", do)
    if labels.shape != images.shape[:1] or labels.dtype.kind not in "iu":
        expected = f"labels must be {len(images)} integers, one per image"
        do = "Match images and labels."
        if labels.dtype.kind in "US":
            do = "Number the classes from 0 and give their names in the array 'classes'."
        raise BadInput(who, expected, f"{labels.dtype} with shape {labels.shape}", do)
    if names is not None and (names.ndim != 1 or names.dtype.kind != "U"):
        raise BadInput(who, "classes must be a list of names", f"{names.dtype} with shape {names.shape}")
    top = len(images) if names is None else len(names)
    if labels.min() < 0 or labels.max() >= top:
        worst = labels.min() if labels.min() < 0 else labels.max()
        raise BadInput(who, f"labels must lie in 0..{top - 1}", int(worst), "Check the labels or name all classes.")
    if names is None:
        _check_counted(who, labels)
    classes = map(str, range(int(labels.max()) + 1)) if names is None else map(str, names)
    pixels = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
    rows = tuple(f"images[{row}]" for row in range(len(labels)))
    return Content(pixels, torch.from_numpy(labels.astype(np.int64)), tuple(classes), names=rows)
