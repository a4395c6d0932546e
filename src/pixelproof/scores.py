"""Scores of a classification from its confusion matrix: accuracy, and precision, recall and F1 per class."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pixelproof.types import Labels

Confusion = Int[Tensor, "k k"]
PerClass = Float[Tensor, " k"]


def confusion(labels: Labels, predicted: Labels, classes: int) -> Confusion:
    """Counts of (true class, predicted class)."""
    return torch.bincount(labels * classes + predicted, minlength=classes * classes).view(classes, classes)


@dataclass(frozen=True, eq=False)
class Scores:
    """Accuracy, and per class precision, recall and F1 in [0, 1]; a ratio without cases is 0, as in scikit-learn."""

    accuracy: float
    precision: PerClass
    recall: PerClass
    f1: PerClass

    @classmethod
    def of(cls, counts: Confusion) -> Scores:
        """Scores of a confusion matrix."""
        counts = counts.double()
        hits = counts.diagonal()
        return cls(
            accuracy=float(hits.sum() / counts.sum().clamp_min(1)),
            precision=_ratio(hits, counts.sum(0)),
            recall=_ratio(hits, counts.sum(1)),
            f1=_ratio(2 * hits, counts.sum(0) + counts.sum(1)),
        )

    @property
    def macro(self) -> dict[str, float]:
        """Unweighted means over the classes."""
        return {name: float(getattr(self, name).mean()) for name in ("precision", "recall", "f1")}


def median(values: Tensor) -> float | None:
    """The median (of an even number of values, the mean of the middle two); None without values."""
    return float(values.double().quantile(0.5)) if len(values) else None


def _ratio(top: PerClass, bottom: PerClass) -> PerClass:
    return torch.where(bottom > 0, top / bottom.clamp_min(1), 0.0)
