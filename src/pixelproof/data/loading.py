"""`load`: a named set, an image folder or an .npz, split so that no image is on two sides."""

from __future__ import annotations

import warnings
from collections import Counter
from pathlib import Path
from typing import Literal, TypeAlias, get_args

import torch
from jaxtyping import UInt8
from torch import Tensor

from pixelproof.data.dataset import Dataset, fingerprints, stratified, warn_of_twins, warn_of_two_classes
from pixelproof.data.files import Content, read_npz
from pixelproof.data.folder import PLACES, read_folder
from pixelproof.data.sources import SOURCES
from pixelproof.data.storage import fetch, find
from pixelproof.errors import BadInput, UnknownName
from pixelproof.types import Labels, Mask

Split: TypeAlias = Literal["train", "val", "test", "train+val"]
NAMES = ("digits", *SOURCES)
VAL_SIZE = 5_000  # of the named sets' training files
SHARES = {"test": 0.25, "val": 0.2}  # of what is left: 25 % of an undivided set, then 15 % of it
LEAST = 4  # images per class that an undivided set needs


def load(name: str | Path, split: Split = "train", root: str | Path | None = None, *, seed: int = 0) -> Dataset:
    """One split of a named set ("digits", "mnist", "fashion-mnist", "cifar10"), an image folder or an .npz file.

    The test split of an official set is its test file; "val" is 5,000 images of its training file, drawn with every
    class in its share, "train" the other ones and "train+val" the whole file. A set that comes in one piece is drawn
    apart into 60 / 15 / 25 %; a folder with train/ and test/ (perhaps val/) keeps that division, and of one with test/
    alone every image is a test image. Images that occur more than once are never drawn, so that all their copies stay
    in "train". `seed` decides which images are drawn; `index`
    is an image's position in the part it was drawn from: the training or test file(s) in their order, or the whole set.
    The set is called by its name, or by the last part of its path. Warns of class names that look the same, of pictures
    that lie in more than one class, and of classes without a training image.

    Named sets are looked for under `root`, PIXELPROOF_DATA and the cache, then downloaded (silently: call `fetch` first
    to watch). Raises UnknownName, BadInput, CorruptFile, DataUnavailable.
    """
    if split not in get_args(Split):
        raise UnknownName("data", "split", split, get_args(Split))
    if name in SOURCES:
        return _official(str(name), split, root, seed)
    if name == "digits":
        content, called = _digits(), "digits"
    else:
        content, called = _own(name), Path(name).expanduser().resolve().name
    place = _places(str(name), content, seed)
    warn_of_twins(called, content.classes)
    if content.names:
        warn_of_two_classes(called, fingerprints(content.pixels), content.labels, content.names)
    rows = place < 2 if split == "train+val" else place == PLACES.index(split)
    if not rows.any():
        do = "Add train/ beside it; attack, evaluate, audit, compare and certify need none."
        raise BadInput(str(name), f"expected images of the split '{split}'", "test/ alone", do)
    found = Dataset(called, content.pixels, content.labels, content.classes, split=split)[rows]
    if split != "test" and split != "val":
        _warn_of_absent(found)
    return found


def _warn_of_absent(found: Dataset) -> None:
    """Say at once that a class has no training image: a detector cannot be fitted to it, nor a network trained."""
    absent = [label for label, count in found.class_counts().items() if not count]
    if absent:
        listed = ", ".join(f"'{label}'" for label in absent[:5]) + (", ..." if len(absent) > 5 else "")
        more = f"{len(absent)} of {len(found.classes)} classes have" if len(absent) > 1 else "a class has"
        warnings.warn(f"{found.name}: {more} no training image: {listed}", stacklevel=3)


def _official(name: str, split: Split, root: str | Path | None, seed: int) -> Dataset:
    """A split of a set that comes as a training and a test file."""
    source = SOURCES[name]
    folder = find(source, root) or fetch(name, root)
    pixels, labels = source.load(folder, "test" if split == "test" else "train")
    whole = Dataset(name, pixels, labels, source.classes, split=split)
    if split in ("test", "train+val"):
        return whole
    held_out = _drawn(labels, _single(pixels), VAL_SIZE, seed)
    return whole[held_out if split == "val" else ~held_out]


def _digits() -> Content:
    """The UCI digits that scikit-learn carries: 1,797 images of 8×8, their 17 grey levels spread over 0..255."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    pixels = torch.from_numpy(bunch.images * (255 / 16)).round().to(torch.uint8)[:, None]
    return Content(pixels, torch.from_numpy(bunch.target).long(), tuple("0123456789"))


def _own(name: str | Path) -> Content:
    """The content of a folder or an .npz file."""
    path = Path(name).expanduser()
    if not path.exists():
        if isinstance(name, Path) or any(mark in name for mark in "/\\.~"):
            do = "Check the path, or name a set: " + ", ".join(NAMES) + "."
            raise BadInput("data", "expected an existing folder or .npz file", f"'{name}', which does not exist", do)
        raise UnknownName("data", "data set, folder or .npz file", str(name), NAMES)
    if path.is_dir():
        content = read_folder(path)
    elif path.suffix == ".npz":
        content = read_npz(path)
    else:
        raise BadInput("data", "expected a folder of images or an .npz file", f"'{name}'", "Convert the file to .npz.")
    if content.labels.min() == content.labels.max():
        raise BadInput(str(path), "expected images of at least two classes", "one", "Add images of another class.")
    return content


def _places(name: str, content: Content, seed: int) -> Labels:
    """Where each image belongs: 0 train, 1 val, 2 test; drawn where the set does not say so itself."""
    labels, single = content.labels, _single(content.pixels)
    place = torch.zeros_like(labels) if content.place is None else content.place.clone()
    if (place == PLACES.index("val")).any() or (place == PLACES.index("test")).all():
        return place
    _check_enough(name, content, place == PLACES.index("train"), single)
    for part in ("test", "val") if content.place is None else ("val",):
        free = single & (place == PLACES.index("train"))
        place[_drawn(labels, free, round(SHARES[part] * int(free.sum())), seed)] = PLACES.index(part)
    return place


def _check_enough(name: str, content: Content, among: Mask, single: Mask) -> None:
    """Refuse to draw from a set with a class of very few distinct images."""
    present, distinct = (
        torch.bincount(content.labels[rows], minlength=len(content.classes)).tolist()
        for rows in (among, among & single)
    )
    for label, count in enumerate(distinct):
        if present[label] and count < LEAST:
            expected = f"a set that is to be drawn apart needs {LEAST} distinct images in each class"
            do = "Add images, or give train/, val/ and test/ folders."
            raise BadInput(name, expected, f"{count} in '{content.classes[label]}'", do)


def _single(pixels: UInt8[Tensor, "n c h w"]) -> Mask:
    """Which images occur only once."""
    prints = fingerprints(pixels)
    counts = Counter(prints)
    return torch.tensor([counts[mark] == 1 for mark in prints])


def _drawn(labels: Labels, free: Mask, n: int, seed: int) -> Mask:
    """A class-stratified draw of `n` of the free images."""
    rows = free.nonzero()[:, 0]
    mask = torch.zeros_like(free)
    mask[rows[stratified(labels[rows], n, seed)]] = True
    return mask
