"""Preprocessors that take detail away: fewer bits, and a median over windows (Xu et al. 2018, arXiv 1704.01155)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pixelproof.data import Dataset
from pixelproof.errors import BadInput
from pixelproof.models.classifier import Classifier
from pixelproof.models.preprocessors.preprocessor import Preprocessed, When, preprocessed
from pixelproof.types import Images


@dataclass(frozen=True)
class BitDepth:
    """Values rounded to `bits` bits; the gradient passes straight through the rounding.

    With `when` "both" a network that is hardened is trained behind it, else it is put there afterwards.
    """

    bits: int = 1
    when: When = "test"

    name: ClassVar[str] = "bits"

    def __post_init__(self) -> None:
        if not 1 <= self.bits <= 8:
            raise BadInput(self.name, "bits must lie in 1..8", self.bits)

    def around(self, model: Classifier) -> Classifier:
        """The classifier that sees rounded images."""
        return preprocessed(self, Preprocessed(Rounding(self.bits), model), model)

    def __call__(self, model: Classifier, data: Dataset, rng: torch.Generator) -> Classifier:
        """The same, as a defence."""
        return self.around(model)


@dataclass(frozen=True)
class Median:
    """The lower median of `window` x `window` pixels; it has a gradient of its own. `when`: as of `BitDepth`."""

    window: int = 3
    when: When = "test"

    name: ClassVar[str] = "median"

    def __post_init__(self) -> None:
        if self.window < 2:
            raise BadInput(self.name, "window must be at least 2", self.window)

    def around(self, model: Classifier) -> Classifier:
        """The classifier that sees filtered images."""
        return preprocessed(self, Preprocessed(Filter(self.window), model), model)

    def __call__(self, model: Classifier, data: Dataset, rng: torch.Generator) -> Classifier:
        """The same, as a defence."""
        return self.around(model)


class Rounding(nn.Module):
    """`fewer_bits` as a module."""

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.bits = bits

    def forward(self, images: Images) -> Images:
        """Rounded images."""
        return fewer_bits(images, self.bits)


class Filter(nn.Module):
    """`median` as a module."""

    def __init__(self, window: int) -> None:
        super().__init__()
        self.window = window

    def forward(self, images: Images) -> Images:
        """Filtered images."""
        return median(images, self.window)


def fewer_bits(images: Images, bits: int) -> Images:
    """Values rounded to 2^bits levels; gradients pass straight through."""
    levels = 2**bits - 1
    rounded: Tensor = (images.detach() * levels).round() / levels
    return images + (rounded - images.detach())


def median(images: Images, window: int) -> Images:
    """The lower median of each window, its top left pixel at the image's; edges are reflected."""
    n, channels, height, width = images.shape
    before, after = (window - 1) // 2, window // 2
    padded = F.pad(images, (before, after, before, after), mode="reflect")
    patches = F.unfold(padded, window).view(n, channels, window * window, height, width)
    middle: Tensor = torch.median(patches, dim=2)[0]
    return middle
