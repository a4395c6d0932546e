"""ROC curves as answers."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor

from pixelproof.views.answer import Answer


class Roc(Answer):
    """A ROC curve, one point per distinct score: an image is flagged when score >= threshold (the first is null)."""

    thresholds: tuple[float | None, ...] = Field(
        description="Descending; null where nothing exceeds them or none are known."
    )
    fpr: tuple[float, ...] = Field(description="False-positive rate: share of the clean images flagged, 0 to 1.")
    tpr: tuple[float, ...] = Field(description="True-positive rate: share of the attacked images flagged, 0 to 1.")

    @classmethod
    def of(cls, thresholds: Tensor | None, fpr: Tensor, tpr: Tensor) -> Roc:
        """The curve with rates of six digits; thresholds are null where nothing exceeds them or none are known."""
        limits = [float("inf")] * len(fpr) if thresholds is None else thresholds.tolist()
        finite = tuple(value if abs(value) != float("inf") else None for value in limits)
        return cls(thresholds=finite, fpr=_short(fpr), tpr=_short(tpr))


def _short(rates: Tensor) -> tuple[float, ...]:
    return tuple(round(value, 6) for value in rates.tolist())
