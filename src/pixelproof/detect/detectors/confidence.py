"""The baselines that every other detector must beat: how unsure the network itself says it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from pixelproof.attacks import AdversarialSet
from pixelproof.data import Dataset
from pixelproof.detect.guards.guard import Part, divide
from pixelproof.detect.guards.scored import ScoreGuard, guard
from pixelproof.detect.guards.settings import check_settings
from pixelproof.models import Classifier
from pixelproof.types import Images, Labels, Logits, PerImage


def doubt(model: Classifier, images: Images) -> PerImage:
    """Logarithm of one minus the highest softmax probability; the logarithm keeps the order and the digits."""
    logits: Float[Tensor, "n k"] = model(images).log_softmax(1)
    others = logits.scatter(1, logits.argmax(1, keepdim=True), -torch.inf)
    return others.logsumexp(1)


def closeness(model: Classifier, images: Images) -> PerImage:
    """Second highest logit minus the highest, at most 0."""
    logits: Float[Tensor, "n k"] = model(images)
    top = logits.topk(2).values
    return top[:, 1] - top[:, 0]


def top_two(logits: Logits) -> tuple[Labels, Labels]:
    """The predicted class of each image and its rival, the class with the highest logit among the others.

    `topk` names equal logits in any order, so the rival is taken after the predicted class is left out.
    """
    predicted = logits.argmax(1)
    return predicted, logits.scatter(1, predicted[:, None], -torch.inf).argmax(1)


@dataclass(frozen=True)
class MaxSoftmax:
    """One minus the highest softmax probability (Hendrycks & Gimpel 2017, arXiv 1610.02136).

    Computed as the sum of the other probabilities, which keeps its digits where the highest is all but 1.
    """

    rate: float = 0.05

    name: ClassVar[str] = "softmax"
    parts: ClassVar[tuple[Part, ...]] = (doubt,)

    def __post_init__(self) -> None:
        check_settings(self)

    def fit(
        self, model: Classifier, clean: Dataset, attacked: AdversarialSet | None, rng: torch.Generator
    ) -> ScoreGuard:
        """A guard; there is nothing to fit but the threshold."""
        return guard(self, doubt, model, divide(clean, rng)[1])


@dataclass(frozen=True)
class LogitMargin:
    """Minus the distance between the two highest logits: attacks that stop at the boundary leave it small."""

    rate: float = 0.05

    name: ClassVar[str] = "margin"
    parts: ClassVar[tuple[Part, ...]] = (closeness,)

    def __post_init__(self) -> None:
        check_settings(self)

    def fit(
        self, model: Classifier, clean: Dataset, attacked: AdversarialSet | None, rng: torch.Generator
    ) -> ScoreGuard:
        """A guard; there is nothing to fit but the threshold."""
        return guard(self, closeness, model, divide(clean, rng)[1])
