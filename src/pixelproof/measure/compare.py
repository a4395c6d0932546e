"""compare: two models on the same images, clean and attacked, and what may be said of two methods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pixelproof.attacks import Attack
from pixelproof.data import Dataset
from pixelproof.errors import BadInput
from pixelproof.measure.predictions import Tell, check_same, predictions
from pixelproof.measure.significance import holm, mcnemar, nested, paired, welch
from pixelproof.models import Classifier
from pixelproof.results import Comparison, ComparisonCell, Difference, Predictions
from pixelproof.results.comparison import SEEDS


def compare(
    first: Classifier,
    second: Classifier,
    data: Dataset,
    attacks: Sequence[Attack] = (),
    eps: Sequence[float] = (),
    *,
    seed: int = 0,
    tell: Tell | None = None,
) -> Comparison:
    """Two models on the same images, clean and under each attack at each budget."""
    sides = [predictions(model, data, attacks, eps, seed=seed, tell=tell) for model in (first, second)]
    return compare_predictions(*sides, seed=seed)


def compare_predictions(first: Sequence[Predictions], second: Sequence[Predictions], *, seed: int = 0) -> Comparison:
    """Compare answers that were kept: the same conditions in the same order, on the same images.

    Raises BadInput where conditions, images or positions differ.
    """
    conditions = [[found.condition for found in side] for side in (first, second)]
    if conditions[0] != conditions[1] or not first:
        raise BadInput("compare", "both sides must have the same conditions", conditions)
    check_same((*first, *second))
    pairs = list(zip(first, second, strict=True))
    counts = [(int((a.right & ~b.right).sum()), int((b.right & ~a.right).sum())) for a, b in pairs]
    p = [mcnemar(*count) for count in counts]
    cells = tuple(
        ComparisonCell(
            condition=a.condition,
            first=a.accuracy,
            second=b.accuracy,
            first_scores=a.scores,
            second_scores=b.scores,
            only_first=only_first,
            only_second=only_second,
            difference=paired(only_first, only_second, len(a.labels), seed=seed),
            p=value,
            p_holm=adjusted,
        )
        for (a, b), (only_first, only_second), value, adjusted in zip(pairs, counts, p, holm(p), strict=True)
    )
    one, n = first[0], len(first[0].labels)
    return Comparison(one.model, second[0].model, one.data, n, seed, cells, one.classes)


@dataclass(frozen=True)
class MethodComparison:
    """Two methods under one condition, each trained with several seeds: accuracies per seed, and two intervals.

    `over_seeds` is Welch's t interval on the seed means (None with fewer than two seeds a side); `nested` resamples
    seeds and images. A difference is shown when there are at least three seeds a side and both intervals leave out 0.
    """

    first: str
    second: str
    condition: str
    first_accuracy: tuple[float, ...]
    second_accuracy: tuple[float, ...]
    over_seeds: Difference | None
    nested: Difference

    @property
    def enough(self) -> bool:
        """Whether there are at least three seeds of each method."""
        return min(len(self.first_accuracy), len(self.second_accuracy)) >= SEEDS

    @property
    def text(self) -> str:
        """What may be said, in one sentence."""
        a, b = len(self.first_accuracy), len(self.second_accuracy)
        if not self.enough or self.over_seeds is None:
            return (
                f"{self.condition}: these are {a} + {b} trained networks, not two methods: "
                f"at least {SEEDS} seeds of each are needed (difference {self.nested})"
            )
        said = f"{self.over_seeds} over {a} + {b} seeds, {self.nested} with images resampled too"
        if not (self.over_seeds.shown and self.nested.shown):
            return f"{self.condition}: no difference between {self.first} and {self.second} is shown: {said}"
        better = self.second if self.over_seeds.value > 0 else self.first
        return f"{self.condition}: {better} is better: {said} ({self.second} minus {self.first})"


def compare_methods(
    first: Sequence[Predictions], second: Sequence[Predictions], *, names: tuple[str, str], seed: int = 0
) -> MethodComparison:
    """Two methods under one condition: one `Predictions` per training seed on each side, all on the same images."""
    if not (first and second):
        raise BadInput("compare", "each method needs at least one trained network", (len(first), len(second)))
    check_same((*first, *second))
    conditions = sorted({found.condition for found in (*first, *second)})
    if len(conditions) > 1:
        raise BadInput("compare", "all must have the same condition", ", ".join(conditions))
    means = [tuple(float(found.accuracy) for found in side) for side in (first, second)]
    right = [np.stack([found.right.numpy() for found in side]) for side in (first, second)]
    over_seeds = welch(*means) if min(map(len, means)) > 1 else None
    return MethodComparison(*names, conditions[0], means[0], means[1], over_seeds, nested(*right, seed=seed))
