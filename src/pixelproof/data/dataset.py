"""A data set in memory: images, labels, and where each one came from."""

from __future__ import annotations

import hashlib
import json
import unicodedata
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import UInt8
from torch import Tensor

from pixelproof.draws import rng_of
from pixelproof.errors import BadInput
from pixelproof.types import Images, Labels, check_images, check_labels

PREFIX = "2-"  # of digests by the present rule
UNSEEN = ("Cc", "Cf")  # categories of characters that do not show
SELECTORS = "".join(map(chr, range(0xFE00, 0xFE10)))  # of another drawing of the character before them


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Dataset:
    """Labelled images that know their class names and their position in the original file.

    Pixels stay as uint8 where the source is 8-bit (a quarter of the memory); `images` gives floats in [0, 1].
    """

    name: str
    pixels: Tensor
    labels: Labels
    classes: tuple[str, ...]
    index: Tensor
    split: str

    def __init__(
        self,
        name: str,
        images: Tensor,
        labels: Tensor,
        classes: tuple[str, ...],
        index: Tensor | None = None,
        split: str = "all",
    ) -> None:
        """`images`: uint8 (n, c, h, w), or floats in [0, 1]; `index` defaults to 0..n-1."""
        if images.dtype == torch.uint8 and images.ndim == 4 and len(images):
            pixels = images
        else:
            check_images(name, images)
            pixels = images.float()
        check_labels(name, labels, n=len(images), classes=len(classes))
        check_names(name, classes)
        index = torch.arange(len(images)) if index is None else index
        if index.shape != labels.shape:
            raise BadInput(name, f"one index per image is needed ({len(labels)})", tuple(index.shape))
        values: tuple[Any, ...] = (name, pixels, labels.long(), tuple(classes), index.long(), split)
        for field, value in zip(self.__dataclass_fields__, values, strict=True):
            object.__setattr__(self, field, value)

    @property
    def images(self) -> Images:
        """All images as floats in [0, 1] (a fresh copy where the pixels are 8-bit)."""
        return self.pixels.float() / 255 if self.pixels.dtype == torch.uint8 else self.pixels

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of one image."""
        channels, height, width = self.pixels.shape[1:]
        return channels, height, width

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows: Tensor | slice | list[int] | int) -> Dataset:
        """The data set of some rows: positions, a mask, a slice or one position."""
        if isinstance(rows, int):
            rows = [rows]
        if isinstance(rows, list):
            rows = torch.tensor(rows, dtype=torch.bool if rows and isinstance(rows[0], bool) else torch.long)
        return Dataset(self.name, self.pixels[rows], self.labels[rows], self.classes, self.index[rows], self.split)

    def __repr__(self) -> str:
        return f"Dataset({self.name}/{self.split}: {len(self)} images {self.shape}, {len(self.classes)} classes)"

    def batches(self, size: int) -> Iterator[Dataset]:
        """Consecutive parts of at most `size` images."""
        for start in range(0, len(self), size):
            yield self[start : start + size]

    def sample(self, n: int, seed: int = 0) -> Dataset:
        """`n` images drawn so that every class keeps its share, in original order; all of them when n >= len.

        "The first n" is a biased sample of MNIST (its first half is harder), so subsets are always drawn this way.
        """
        if n < 1:
            raise BadInput(self.name, "a sample needs at least one image", n)
        return self if n >= len(self) else self[stratified(self.labels, n, seed)]

    def class_counts(self) -> dict[str, int]:
        """How many images each class has."""
        counts = torch.bincount(self.labels, minlength=len(self.classes)).tolist()
        return dict(zip(self.classes, counts, strict=True))

    def digest(self) -> str:
        """ "2-" and sixteen hex digits that change when any pixel, label, position, class name or the shape does."""
        hashed = hashlib.sha256(json.dumps([self.classes, tuple(self.pixels.shape), str(self.pixels.dtype)]).encode())
        return PREFIX + self._hashed(hashed)

    def recognises(self, recorded: str) -> bool:
        """Whether a digest that was written down is this data's; those of earlier builds left out the class names."""
        return recorded == (self.digest() if recorded.startswith(PREFIX) else self._hashed(hashlib.sha256()))

    def _hashed(self, hashed: hashlib._Hash) -> str:
        for part in (self.pixels, self.labels, self.index):
            hashed.update(part.contiguous().cpu().numpy().tobytes())
        return hashed.hexdigest()[:16]


def on_screen(name: str) -> str:
    """What is seen of a name: composed characters, one space for any white space, nothing that does not show."""
    composed = unicodedata.normalize("NFC", name)
    shown = [c for c in composed if c.isspace() or (unicodedata.category(c) not in UNSEEN and c not in SELECTORS)]
    return " ".join("".join(shown).split())


def warn_of_twins(who: str, classes: Sequence[str]) -> None:
    """Say which class names look the same on a screen, though they are different texts."""
    groups: dict[str, list[str]] = {}
    for name in dict.fromkeys(classes):
        groups.setdefault(on_screen(name), []).append(name)
    for twins in groups.values():
        if len(twins) > 1:
            listed = " and ".join(ascii(name) for name in twins[:3]) + (", ..." if len(twins) > 3 else "")
            warnings.warn(f"{who}: the class names {listed} look the same on a screen; rename one", stacklevel=2)


def check_names(who: str, classes: Sequence[str]) -> None:
    """Refuse a class name that stands for two labels: counts and answers by name would lose one of them."""
    twice = [name for name, times in Counter(classes).items() if times > 1]
    if twice:
        raise BadInput(who, "every class needs a name of its own", f"'{twice[0]}' twice", "Rename one of them.")


def stratified(labels: Labels, n: int, seed: int) -> Tensor:
    """Sorted positions of `n` images in which each class keeps its share (largest remainders are rounded up)."""
    if not 0 <= n <= len(labels):
        raise BadInput("stratified", f"n must lie in 0..{len(labels)}, the number of images", n)
    generator = rng_of(seed)
    counts = torch.bincount(labels)
    exact = counts.double() * n / max(len(labels), 1)
    quota = exact.floor().long()
    quota[(exact - quota).argsort(descending=True, stable=True)[: n - int(quota.sum())]] += 1
    chosen = [torch.empty(0, dtype=torch.long)]
    for label, take in enumerate(quota.tolist()):
        members = (labels == label).nonzero()[:, 0]
        chosen.append(members[torch.randperm(len(members), generator=generator)[:take]])
    return torch.cat(chosen).sort().values


def fingerprints(pixels: UInt8[Tensor, "n c h w"]) -> list[bytes]:
    """A short digest per image: equal images, and only they, have equal digests."""
    return [hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in pixels.contiguous().numpy()]


def warn_of_two_classes(who: str, prints: Sequence[bytes], labels: Labels, names: Sequence[str]) -> None:
    """Say how many pictures lie in more than one class, pixel by pixel the same, and give two examples.

    `names` say where each image lies. No network can get all copies of such a picture right.
    """
    places: dict[bytes, dict[int, str]] = {}
    for mark, label, name in zip(prints, labels.tolist(), names, strict=True):
        places.setdefault(mark, {}).setdefault(label, name)
    shared = [list(found.values())[:2] for found in places.values() if len(found) > 1]
    if shared:
        examples = ", ".join(f"{one} = {other}" for one, other in shared[:2])
        count = "1 picture lies" if len(shared) == 1 else f"{len(shared)} pictures lie"
        warnings.warn(f"{who}: {count} in more than one class ({examples})", stacklevel=2)
