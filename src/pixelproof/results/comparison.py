"""Two models on the same images: what each said of every image, and the comparison cell by cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from pixelproof.scores import Scores, confusion
from pixelproof.types import Labels, Mask, PerImage, Rate

ALPHA = 0.05
SEEDS = 3  # trained networks per method below which nothing is said about the method


@dataclass(frozen=True)
class Difference:
    """A difference of two accuracies, second minus first, with its 95 % interval; all as shares in [-1, 1]."""

    value: float
    low: float
    high: float

    @property
    def shown(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low > 0 or self.high < 0

    def __str__(self) -> str:
        return f"{100 * self.value:+.1f} pp [{100 * self.low:+.1f}, {100 * self.high:+.1f}]"


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a model said of every image of a set under one condition ("clean", or the spec of an attack).

    Images that it gets wrong before an attack are not attacked: their clean answer and loss stand. `loss` is the
    cross-entropy. `digest` is that of the data set, so that only answers on the same images are ever compared.
    """

    model: str
    condition: str
    data: str
    digest: str
    classes: int
    index: Tensor
    labels: Labels
    predicted: Labels
    loss: PerImage

    @property
    def right(self) -> Mask:
        """Where the answer is the label."""
        return self.predicted == self.labels

    @property
    def accuracy(self) -> Rate:
        """The share that is right: under attack an upper bound."""
        return Rate(int(self.right.sum()), len(self.labels))

    @property
    def scores(self) -> dict[str, float]:
        """Precision, recall and F1, unweighted means over the classes, and the mean loss."""
        macro = Scores.of(confusion(self.labels, self.predicted, self.classes)).macro
        return {**macro, "loss": float(self.loss.double().mean())}


@dataclass(frozen=True)
class ComparisonCell:
    """Two models under one condition: accuracies, scores, the images that tell them apart, the difference, p-values.

    `difference` is second minus first. `p` is McNemar's exact value, `p_holm` is adjusted for all cells of the
    comparison.
    """

    condition: str
    first: Rate
    second: Rate
    first_scores: dict[str, float]
    second_scores: dict[str, float]
    only_first: int
    only_second: int
    difference: Difference
    p: float
    p_holm: float

    @property
    def significant(self) -> bool:
        """Whether the difference stands after Holm's adjustment, at 5 %."""
        return self.p_holm < ALPHA


@dataclass(frozen=True)
class Comparison:
    """Two trained networks on the same n images, cell by cell; it says nothing about the methods that made them."""

    first: str
    second: str
    data: str
    n: int
    seed: int
    cells: tuple[ComparisonCell, ...]
    classes: int = 0

    @property
    def verdict(self) -> str:
        """One sentence: where which model is better, after the adjustment for all cells."""
        worse = [cell.condition for cell in self.cells if cell.significant and cell.difference.value < 0]
        better = [cell.condition for cell in self.cells if cell.significant and cell.difference.value > 0]
        parts = [f"{self.second} is better: {_named(better)}"] if better else []
        parts += [f"{self.first} is better: {_named(worse)}"] if worse else []
        open_ = len(self.cells) - len(better) - len(worse)
        if open_:
            parts.append(f"no difference shown in {open_} of {len(self.cells)} cells")
        return "; ".join(parts)

    LIMIT = (
        "two trained networks are compared, not two methods: a claim about a method needs at least "
        f"{SEEDS} training seeds of each"
    )


def _named(conditions: Sequence[str]) -> str:
    return ", ".join(condition.replace(":", " ").partition(",")[0] for condition in conditions)
