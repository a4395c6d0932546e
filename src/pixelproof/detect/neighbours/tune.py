"""The paper's tuning, for every layer, every k and every threshold at once, from one search.

Keppel et al. tune k and the threshold of each layer in a nested loop. Here the neighbours for the largest k are looked
up once; the k nearest are the first k of them, so every smaller k and every threshold is a count. Tuning at the equal
error rate uses adversarial images: beside a threshold from clean images alone, which is what a Guard has, it is the
paper's protocol and named so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from pixelproof.attacks import AdversarialSet
from pixelproof.data import Dataset, stratified
from pixelproof.detect.neighbours.neighbourhood import Neighbourhood, neighbourhood
from pixelproof.detect.neighbours.store import Store
from pixelproof.errors import BadInput
from pixelproof.models import Classifier
from pixelproof.types import Rate

Counts: TypeAlias = tuple[Int[Tensor, "_ layers k"], Int[Tensor, "_ layers k"]]


@dataclass(frozen=True, eq=False)
class Grid:
    """Detection rates of the alarm rule for every layer, k = 1..k_max and threshold t = 0..k_max-1, on one half.

    An alarm is more than t of the k neighbours of another class than the predicted one; thresholds of k and above
    never alarm. `clean` and `attacked` are the numbers of images.
    """

    layers: tuple[str, ...]
    tpr: Float[Tensor, "layers k t"]
    fpr: Float[Tensor, "layers k t"]
    clean: int
    attacked: int

    @property
    def tnr(self) -> Float[Tensor, "layers k t"]:
        """Clean images without an alarm."""
        return 1 - self.fpr

    @property
    def fnr(self) -> Float[Tensor, "layers k t"]:
        """Attacked images without an alarm."""
        return 1 - self.tpr

    @property
    def accuracy(self) -> Float[Tensor, "layers k t"]:
        """Images judged rightly, clean and attacked weighted equally (the paper's halves hold as many of each)."""
        return (self.tpr + self.tnr) / 2

    @property
    def thresholds(self) -> Int[Tensor, "layers k"]:
        """For every layer and k the threshold where FPR and FNR are nearest to each other (Figs. 4 to 7)."""
        return (self.fpr - self.fnr).abs().argmin(2)

    @property
    def eer(self) -> Float[Tensor, "layers k"]:
        """The mean of FPR and FNR at that threshold."""
        at = self.thresholds[:, :, None]
        return ((self.fpr + self.fnr) / 2).gather(2, at)[:, :, 0]

    @property
    def auroc(self) -> Float[Tensor, "layers k"]:
        """Area under each layer's and k's ROC curve over all thresholds, by the trapezoidal rule."""
        edge = torch.ones(*self.tpr.shape[:2], 1)
        fpr, tpr = (torch.cat([edge, rate, 0 * edge], 2).flip(2) for rate in (self.fpr, self.tpr))
        return torch.trapezoid(tpr, fpr, dim=2)

    def at(self, table: Float[Tensor, "layers k t"], thresholds: Int[Tensor, "layers k"]) -> Float[Tensor, "layers k"]:
        """The entries of one of the tables at one threshold per layer and k."""
        return table.gather(2, thresholds[:, :, None])[:, :, 0]


@dataclass(frozen=True, eq=False)
class Tuned:
    """The chosen k and threshold per layer and composed, and the grids of both halves they were read from.

    `best` is chosen on the tuning half alone: the k with the highest accuracy at its equal-error threshold, the
    smallest of equal ones. `validated` are accuracies over k on the validation half with those thresholds (Figs. 8 to
    11); the paper picks k from that curve, which makes its figures a little too good: `papers_k` is what it would pick.
    """

    tuning: Grid
    validation: Grid
    best: tuple[int, ...]
    papers_k: tuple[int, ...]
    thresholds: tuple[int, ...]
    validated: Float[Tensor, "layers k"]
    seed: int

    def roc(self, layer: str, *, k: int | None = None) -> Float[Tensor, "points 2"]:
        """FPR and TPR of a layer on the validation half over all thresholds, from (0, 0) to (1, 1) (Fig. 12)."""
        row = self.tuning.layers.index(layer)
        column = (k or self.best[row]) - 1
        points = torch.stack([self.validation.fpr[row, column], self.validation.tpr[row, column]], 1)
        return torch.cat([torch.zeros(1, 2), points.flip(0), torch.ones(1, 2)])


@dataclass(frozen=True, eq=False)
class Cases:
    """The four cases of a layer: which clean and attacked images alarm. Masks follow the order of the images judged."""

    attacked: Bool[Tensor, " n"]
    alarm: Bool[Tensor, " n"]

    def rows(self, case: str) -> Int[Tensor, " rows"]:
        """Positions of "true positive", "false positive", "true negative" or "false negative" images."""
        right, kind = case.split()
        alarm = self.alarm if kind == "positive" else ~self.alarm
        return (alarm & ((self.alarm == self.attacked) == (right == "true"))).nonzero()[:, 0]

    @property
    def counts(self) -> dict[str, Rate]:
        """Each case among the images of its kind (attacked for true positive and false negative)."""
        attacked, clean = int(self.attacked.sum()), int((~self.attacked).sum())
        sizes = {"true positive": attacked, "false negative": attacked, "false positive": clean, "true negative": clean}
        return {case: Rate(len(self.rows(case)), size) for case, size in sizes.items()}


def tune(
    store: Store, model: Classifier, clean: Dataset, adversarial: AdversarialSet, *, k_max: int = 75, seed: int = 0
) -> Tuned:
    """Tune the alarm rule on half of the images and validate it on the other half, split by image.

    Positives are successful attacks, negatives correctly classified clean images (as many of each as there are). An
    image and the attack on it are on the same side. `clean` must not hold images of the store. Raises BadInput when
    the attack succeeded fewer than four times or no clean image is classified correctly.
    """
    hit = adversarial.success
    right = model.predict(clean.images).argmax(1) == clean.labels
    if int(hit.sum()) < 4 or int(right.sum()) < 4:
        got = f"{int(hit.sum())} attacks and {int(right.sum())} clean images"
        raise BadInput("tune", "needs at least 4 successful attacks and 4 correct clean images", got, "Attack more.")
    side = _sides(torch.cat([clean.index[right], adversarial.index[hit]]), seed)
    most = (k_max,) * len(store.spaces)
    of_clean = strangers_by_k(neighbourhood(store, most, model, clean.images[right]))
    of_attacked = strangers_by_k(neighbourhood(store, most, model, adversarial.images[hit]))
    first, second = side[: len(of_clean)], side[len(of_clean) :]
    return choose(
        store.spaces, (of_clean[~first], of_attacked[~second]), (of_clean[first], of_attacked[second]), seed=seed
    )


def choose(layers: Sequence[str], tuning: Counts, validation: Counts, *, seed: int = 0) -> Tuned:
    """The best k and threshold per layer from the counts of strangers (clean, attacked) of two halves."""
    grids = grid(layers, *tuning), grid(layers, *validation)
    reached = grids[0].at(grids[0].accuracy, grids[0].thresholds)
    validated = grids[1].at(grids[1].accuracy, grids[0].thresholds)
    best = reached.argmax(1)
    chosen = grids[0].thresholds.gather(1, best[:, None])[:, 0]
    return Tuned(
        tuning=grids[0],
        validation=grids[1],
        best=tuple((best + 1).tolist()),
        papers_k=tuple((validated.argmax(1) + 1).tolist()),
        thresholds=tuple(chosen.tolist()),
        validated=validated,
        seed=seed,
    )


def strangers_by_k(seen: Neighbourhood) -> Int[Tensor, "n layers k"]:
    """How many of the first k neighbours belong to another class than the predicted one, for every k."""
    return torch.stack([(labels != seen.predicted[:, None]).cumsum(1) for labels in seen.labels], 1)


def grid(layers: Sequence[str], clean: Int[Tensor, "n layers k"], attacked: Int[Tensor, "m layers k"]) -> Grid:
    """The rates for every threshold from the counts of strangers of clean and attacked images."""
    if not len(clean) or not len(attacked):
        raise BadInput("tune", "both halves need clean and attacked images", f"{len(clean)} and {len(attacked)}")
    return Grid(tuple(layers), _exceeding(attacked), _exceeding(clean), len(clean), len(attacked))


def _exceeding(counts: Int[Tensor, "n layers k"]) -> Float[Tensor, "layers k k"]:
    """The share of images with more than t strangers, for t = 0..k_max-1."""
    n, layers, k = counts.shape
    bins = torch.zeros(layers, k, k + 1)
    bins.scatter_add_(2, counts.permute(1, 2, 0), torch.ones(layers, k, n))
    return (1 - bins.cumsum(2)[:, :, :-1] / n).clamp(0, 1)


def _sides(index: Int[Tensor, " n"], seed: int) -> Bool[Tensor, " n"]:
    """Which entries go to the validation half: every image's entries together, half of the images."""
    images, of = torch.unique(index, return_inverse=True)
    mask = torch.zeros(len(images), dtype=torch.bool)
    mask[stratified(torch.zeros(len(images), dtype=torch.long), len(images) // 2, seed)] = True
    return mask[of]
