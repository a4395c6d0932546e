"""Scores of a classification from its confusion matrix: accuracy, and precision, recall and F1 per class."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from pixelproof.errors import BadInput
from pixelproof.types import Labels

MEASURES = ("precision", "recall", "f1")

Confusion = Int[Tensor, "k k"]
PerClass = Float[Tensor, " k"]


def confusion(labels: Labels, predicted: Labels, classes: int) -> Confusion:
    """Counts of (true class, predicted class).

    Raises BadInput for a class that is none of `classes`: it would be counted under another pair.
    """
    for what, values in (("labels", labels), ("predicted classes", predicted)):
        if len(values) and not 0 <= int(values.min()) <= int(values.max()) < classes:
            worst = int(values.max()) if int(values.max()) >= classes else int(values.min())
            do = "Compare the classes of the model with those of the data."
            raise BadInput("confusion", f"{what} must lie in 0..{classes - 1}", worst, do)
    return torch.bincount(labels * classes + predicted, minlength=classes * classes).view(classes, classes)


@dataclass(frozen=True, eq=False)
class Scores:
    """Accuracy, and per class precision, recall and F1 in [0, 1]; a ratio without cases is 0, as in scikit-learn.

    `present`: the classes that occur among labels or predictions. The others have no scores: they count in no mean.
    """

    accuracy: float
    precision: PerClass
    recall: PerClass
    f1: PerClass
    present: Bool[Tensor, " k"]

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
            present=counts.sum(0) + counts.sum(1) > 0,
        )

    @property
    def macro(self) -> dict[str, float]:
        """Unweighted means over the classes that are present, as scikit-learn takes them; 0 without any."""
        if not self.present.any():
            return dict.fromkeys(MEASURES, 0.0)
        return {name: float(getattr(self, name)[self.present].mean()) for name in MEASURES}

    def of_class(self, label: int) -> dict[str, float | None]:
        """Precision, recall and F1 of one class; None for a class that is not present."""
        return {name: float(getattr(self, name)[label]) if self.present[label] else None for name in MEASURES}


def median(values: Tensor) -> float | None:
    """The median (of an even number of values, the mean of the middle two); None without values."""
    return float(values.double().quantile(0.5)) if len(values) else None


def _ratio(top: PerClass, bottom: PerClass) -> PerClass:
    return torch.where(bottom > 0, top / bottom.clamp_min(1), 0.0)
