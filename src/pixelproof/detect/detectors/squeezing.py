"""Feature squeezing: does the answer change when detail is taken away? (Xu et al. 2018)"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from pixelproof.attacks import AdversarialSet
from pixelproof.data import Dataset
from pixelproof.detect.guards.guard import Part, divide
from pixelproof.detect.guards.scored import ScoreGuard, guard
from pixelproof.detect.guards.settings import check_settings
from pixelproof.models import Classifier
from pixelproof.models.preprocessors.squeezing import fewer_bits, median
from pixelproof.types import Images, PerImage


@dataclass(frozen=True)
class Squeezed:
    """The scorer; the gradient passes through the rounding as if it were not there (BPDA, Athalye et al. 2018)."""

    bits: int
    window: int

    def __call__(self, model: Classifier, images: Images) -> PerImage:
        """Distances in [0, 2]."""
        plain = model(images).softmax(1)
        versions = [fewer_bits(images, self.bits)]
        if self.window > 1:
            versions.append(median(images, self.window))
        changes = [(plain - model(version).softmax(1)).abs().sum(1) for version in versions]
        return torch.stack(changes).amax(0)


@dataclass(frozen=True)
class FeatureSqueezing:
    """The largest L1 distance between the softmax of an image and of its squeezed versions (arXiv 1704.01155).

    Squeezers: fewer bits per value, and a median over `window` x `window` pixels (0 or 1 switches that one off). The
    paper's third, non-local means, is left out. The threshold is the paper's own idea: a false-alarm rate.
    """

    bits: int = 5
    window: int = 2
    rate: float = 0.05

    name: ClassVar[str] = "squeezing"
    parts: ClassVar[tuple[Part, ...]] = (Squeezed,)

    def __post_init__(self) -> None:
        check_settings(self, {"bits": (1, 8), "window": (0, 1024)})

    def fit(
        self, model: Classifier, clean: Dataset, attacked: AdversarialSet | None, rng: torch.Generator
    ) -> ScoreGuard:
        """A guard; there is nothing to fit but the threshold."""
        return guard(self, Squeezed(self.bits, self.window), model, divide(clean, rng)[1])
