"""Figures of a ROC curve with bootstrap intervals, computed for all resamples at once.

scikit-learn computes one curve at a time; a thousand resamples of a table of detectors would take minutes. The tests
hold every figure against scikit-learn's.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from pixelproof.draws import rng_of
from pixelproof.errors import BadInput
from pixelproof.types import PerImage

RESAMPLES = 1000
CHUNK = 2_000_000  # weights held at once, so that a large set does not need resamples x n numbers
Scores: TypeAlias = tuple[Float[Tensor, " _"], Float[Tensor, " _"]]  # of clean and of attacked images


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float

    def __float__(self) -> float:
        return self.value

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"

    def __format__(self, spec: str) -> str:
        """Text with interval; with a format, such as .3f, the figure alone."""
        return format(float(self), spec) if spec else str(self)


@dataclass(frozen=True, eq=False)
class RocCurve:
    """An exact ROC curve, one point per distinct score, from (0, 0) to (1, 1); an image is flagged when score >= t."""

    thresholds: Float[Tensor, " t"]
    fpr: Float[Tensor, " t"]
    tpr: Float[Tensor, " t"]


@dataclass(frozen=True)
class Figures:
    """How well scores separate attacked images (positive) from clean ones.

    `auroc`, `aupr` (average precision at the given numbers of images), `fpr95` (false positives where 95 % are
    found), `tpr1` and `tpr5` (found at no more than 1 % and 5 % false positives), `eer` (where false positives and
    misses are equally frequent, interpolated), `accuracy` (the best balanced accuracy any threshold has).
    """

    auroc: Estimate
    aupr: Estimate
    fpr95: Estimate
    tpr1: Estimate
    tpr5: Estimate
    eer: Estimate
    accuracy: Estimate
    clean: int
    attacked: int
    seed: int


def roc(clean: PerImage, attacked: Float[Tensor, " m"]) -> RocCurve:
    """The ROC curve of scores (higher = stranger)."""
    values, spots = _ranked(clean, attacked)
    n, m = len(clean), len(attacked)
    ones = (torch.ones(1, n, dtype=torch.float64), torch.ones(1, m, dtype=torch.float64))
    fpr, tpr = _rates(len(values), spots[:n], spots[n:], *ones)
    start = torch.tensor([torch.inf], dtype=values.dtype)
    return RocCurve(torch.cat([start, values]).float(), fpr[0].float(), tpr[0].float())


def figures(clean: PerImage, attacked: Float[Tensor, " m"], *, seed: int = 0, resamples: int = RESAMPLES) -> Figures:
    """Every figure with its 95 % interval: percentiles over resamples of the clean and of the attacked images.

    Raises BadInput for an empty side and for scores that are not finite.
    """
    values, spots = _ranked(clean, attacked)
    n, m = len(clean), len(attacked)
    generator = rng_of(seed)
    rows = [_summary(len(values), spots, n, torch.ones(1, n).double(), torch.ones(1, m).double())]
    size = max(1, CHUNK // (n + m))
    for start in range(0, resamples, size):
        count = min(size, resamples - start)
        rows.append(_summary(len(values), spots, n, _draw(count, n, generator), _draw(count, m, generator)))
    point, drawn = rows[0][0], torch.cat(rows[1:]) if resamples else rows[0]
    low, high = drawn.quantile(torch.tensor([0.025, 0.975], dtype=torch.float64), dim=0)
    names = [item.name for item in fields(Figures)][: len(point)]
    found = {name: Estimate(float(point[k]), float(low[k]), float(high[k])) for k, name in enumerate(names)}
    return Figures(**found, clean=n, attacked=m, seed=seed)


def difference(one: Scores, other: Scores, *, seed: int = 0, resamples: int = RESAMPLES) -> Estimate:
    """AUROC of `one` minus that of `other`: (clean, attacked) scores of the same images by two detectors.

    Both are computed on the same resamples, so the interval is that of the paired difference.
    """
    if any(len(a) != len(b) for a, b in zip(one, other, strict=True)):
        raise BadInput("difference", "expected scores of the same images", [len(part) for part in (*one, *other)])
    generator = rng_of(seed)
    n, m = len(one[0]), len(one[1])
    weights = [
        torch.cat([torch.ones(1, size).double(), _draw(resamples, size, generator)]) if size else torch.empty(0)
        for size in (n, m)
    ]
    areas = []
    for clean, attacked in (one, other):
        values, spots = _ranked(clean, attacked)
        fpr, tpr = _rates(len(values), spots[:n], spots[n:], *weights)
        areas.append(torch.trapezoid(tpr, fpr))
    drawn = areas[0] - areas[1]
    low, high = drawn[1:].quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return Estimate(float(drawn[0]), low, high)


def _draw(count: int, n: int, generator: torch.Generator) -> Tensor:
    """How often each of `n` images occurs in each of `count` resamples."""
    chosen = torch.randint(n, (count, n), generator=generator)
    return torch.zeros(count, n, dtype=torch.float64).scatter_add_(1, chosen, torch.ones(count, n).double())


def _ranked(clean: PerImage, attacked: Float[Tensor, " m"]) -> tuple[Tensor, Tensor]:
    """The distinct scores, highest first, and the place of each image's score among them (clean images first)."""
    if not len(clean) or not len(attacked):
        raise BadInput("evaluate", "both clean and attacked images are needed", f"{len(clean)} and {len(attacked)}")
    both = torch.cat([clean, attacked]).double()
    if not torch.isfinite(both).all():
        raise BadInput("evaluate", "scores must be finite", "NaN or infinity")
    values, spots = torch.unique(-both, return_inverse=True)
    return -values, spots


def _rates(size: int, clean: Tensor, attacked: Tensor, weights0: Tensor, weights1: Tensor) -> tuple[Tensor, Tensor]:
    """False and true positive rates (resamples, size + 1) when the distinct scores are flagged one after the other."""
    rates = []
    for places, weights in ((clean, weights0), (attacked, weights1)):
        counts = torch.zeros(len(weights), size + 1, dtype=torch.float64)
        counts.index_add_(1, places + 1, weights)
        rates.append(counts.cumsum(1) / weights.sum(1, keepdim=True))
    return rates[0], rates[1]


def _summary(size: int, spots: Tensor, n: int, weights0: Tensor, weights1: Tensor) -> Tensor:
    """Figures (resamples, 7) in the order of `Figures`."""
    fpr, tpr = _rates(size, spots[:n], spots[n:], weights0, weights1)
    hits, false = tpr * weights1.sum(1, keepdim=True), fpr * weights0.sum(1, keepdim=True)
    precision = hits / (hits + false).clamp_min(1e-12)
    miss = 1 - tpr
    return torch.stack(
        [
            torch.trapezoid(tpr, fpr),
            (tpr.diff(dim=1) * precision[:, 1:]).sum(1),
            torch.where(tpr >= 0.95 - 1e-12, fpr, 1.0).amin(1),
            torch.where(fpr <= 0.01 + 1e-12, tpr, 0.0).amax(1),
            torch.where(fpr <= 0.05 + 1e-12, tpr, 0.0).amax(1),
            _crossing(fpr, miss),
            (1 - (fpr + miss) / 2).amax(1),
        ],
        dim=1,
    )


def _crossing(rising: Tensor, falling: Tensor) -> Tensor:
    """The height at which two curves over the same steps meet, by linear interpolation."""
    after = (rising >= falling).double().argmax(1, keepdim=True).clamp_min(1)
    r0, r1 = rising.gather(1, after - 1)[:, 0], rising.gather(1, after)[:, 0]
    f0, f1 = falling.gather(1, after - 1)[:, 0], falling.gather(1, after)[:, 0]
    share = (f0 - r0) / ((f0 - r0) + (r1 - f1)).clamp_min(1e-12)
    return r0 + share * (r1 - r0)
