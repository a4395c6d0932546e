"""Named data sets: where their files are looked for, what they must contain, and how they are split."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import platformdirs
import torch
from torch import Tensor

from pixelproof.data.dataset import Dataset, stratified
from pixelproof.data.files import read_cifar10, read_idx
from pixelproof.errors import CorruptFile, DataUnavailable, UnknownName

Split: TypeAlias = Literal["train", "val", "test", "train+val"]
SPLITS: tuple[Split, ...] = ("train", "val", "test", "train+val")
VAL_SIZE = 5000


def _read_idx_pair(folder: Path, part: str) -> tuple[Tensor, Tensor]:
    stem = {"train": "train", "test": "t10k"}[part]
    images, labels = (
        next((path for path in (folder / f"{name}.gz", folder / name) if path.is_file()), folder / name)
        for name in (f"{stem}-images-idx3-ubyte", f"{stem}-labels-idx1-ubyte")
    )
    return read_idx(images, 3)[:, None], read_idx(labels, 1).long()


def _read_cifar_batches(folder: Path, part: str) -> tuple[Tensor, Tensor]:
    names = {"train": [f"data_batch_{number}.bin" for number in range(1, 6)], "test": ["test_batch.bin"]}[part]
    pixels, labels = zip(*(read_cifar10(folder / name) for name in names), strict=True)
    return torch.cat(pixels), torch.cat(labels)


@dataclass(frozen=True)
class Source:
    """A named set in its official files: `read(folder, "train" | "test")` gives uint8 images and labels."""

    name: str
    folder: str
    classes: tuple[str, ...]
    shape: tuple[int, int, int]
    sizes: Mapping[str, int]
    read: Callable[[Path, str], tuple[Tensor, Tensor]]


_DIGIT_NAMES = tuple("0123456789")
_CLOTHES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
_OBJECTS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_MNIST_SIZES = {"train": 60_000, "test": 10_000}

SOURCES = {
    source.name: source
    for source in (
        Source("mnist", "mnist", _DIGIT_NAMES, (1, 28, 28), _MNIST_SIZES, _read_idx_pair),
        Source("fashion-mnist", "fashion-mnist", _CLOTHES, (1, 28, 28), _MNIST_SIZES, _read_idx_pair),
        Source(
            "cifar10",
            "cifar10/cifar-10-batches-bin",
            _OBJECTS,
            (3, 32, 32),
            {"train": 50_000, "test": 10_000},
            _read_cifar_batches,
        ),
    )
}


def cache_folder() -> Path:
    """Where downloads and trained weights are kept: PIXELPROOF_CACHE, else the user's cache folder."""
    return Path(os.environ.get("PIXELPROOF_CACHE") or platformdirs.user_cache_dir("pixelproof"))


def load(name: str, split: Split = "train", root: str | Path | None = None, *, seed: int = 0) -> Dataset:
    """One split of a named data set; "train+val" is the whole training file."""
    if split not in SPLITS:
        raise UnknownName("data", "split", split, SPLITS)
    if name == "digits":
        return _digits(split, seed)
    if name not in SOURCES:
        raise UnknownName("data", "data set", name, [*SOURCES, "digits"])
    source = SOURCES[name]
    folder = _locate(source, root)
    part = "test" if split == "test" else "train"
    pixels, labels = source.read(folder, part)
    expected = (source.sizes[part], *source.shape)
    if tuple(pixels.shape) != expected or len(labels) != len(pixels):
        got = f"images {tuple(pixels.shape)} and {len(labels)} labels"
        raise CorruptFile(f"{name} in {folder}", f"expected {part} images {expected}", got, "Fetch the set again.")
    whole = Dataset(name, pixels, labels, source.classes, split=split)
    if split in ("test", "train+val"):
        return whole
    held_out = torch.zeros(len(labels), dtype=torch.bool)
    held_out[stratified(labels, VAL_SIZE, seed)] = True
    return whole[held_out if split == "val" else ~held_out]


def _digits(split: Split, seed: int) -> Dataset:
    """The UCI digits that scikit-learn carries, 8×8, their 17 grey levels spread over 0..255."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    pixels = torch.from_numpy(bunch.images * (255 / 16)).round().to(torch.uint8)[:, None]
    whole = Dataset("digits", pixels, torch.from_numpy(bunch.target).long(), _DIGIT_NAMES, split=split)
    place = torch.zeros(len(whole), dtype=torch.long)
    place[stratified(whole.labels, round(0.25 * len(whole)), seed)] = 2
    rest = (place == 0).nonzero()[:, 0]
    place[rest[stratified(whole.labels[rest], round(0.15 * len(whole)), seed + 1)]] = 1
    return whole[place < 2 if split == "train+val" else place == SPLITS.index(split)]


def _locate(source: Source, root: str | Path | None) -> Path:
    """The first folder that holds the set: under `root`, PIXELPROOF_DATA, then the cache."""
    roots = [root, os.environ.get("PIXELPROOF_DATA"), cache_folder() / "datasets"]
    folders = [Path(place) / source.folder for place in roots if place]
    for folder in folders:
        if folder.is_dir():
            return folder
    raise DataUnavailable(source.name, f"expected its files in {' or '.join(map(str, folders))}")
