"""AUROC of many pairs of states of the same images, and the interval of their mean: one bootstrap, joint over pairs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from pixelproof.detect import Estimate
from pixelproof.draws import rng_of

RESAMPLES = 1000
LEVELS = (0.025, 0.975)


@dataclass(frozen=True, eq=False)
class Pair:
    """Scores of n images in a harmless and in an attacked state, and which of the n count in each state.

    `either`: nobody has fitted which side is the stranger one, so that below 0.5 the scores count turned around; a
    score of 0.062 tells two kinds of images apart as well as one of 0.938.
    """

    quiet: Float[Tensor, " n"]
    strange: Float[Tensor, " n"]
    quiet_rows: Bool[Tensor, " n"]
    strange_rows: Bool[Tensor, " n"]
    either: bool = False

    def auroc(self, weights: Float[Tensor, "r n"] | None = None) -> Float[Tensor, " r"]:
        """The AUROC when image i occurs weights[r, i] times; once each by default. NaN where a side is empty."""
        higher = (self.strange[None] > self.quiet[:, None]).double() + 0.5 * (self.strange[None] == self.quiet[:, None])
        plain = torch.ones(1, len(self.quiet), dtype=torch.float64)
        found = self._areas(higher, plain)
        turned = self.either and bool(found < 0.5)
        found = found if weights is None else self._areas(higher, weights.double())
        return 1 - found if turned else found

    def _areas(self, higher: Tensor, weights: Tensor) -> Tensor:
        below, above = weights * self.quiet_rows, weights * self.strange_rows
        return ((below @ higher) * above).sum(1) / (below.sum(1) * above.sum(1))


def joint(groups: list[list[Pair]], *, seed: int) -> Estimate:
    """The mean over groups of the mean AUROC of each group's pairs, with its 95 % bootstrap interval.

    Whole images are drawn, the same ones for every pair: the pairs share images, so their errors go together, and
    intervals of single pairs could not be averaged.
    """
    n = len(groups[0][0].quiet)
    chosen = torch.randint(n, (RESAMPLES, n), generator=rng_of(seed))
    weights = torch.zeros(RESAMPLES, n, dtype=torch.float64).scatter_add_(1, chosen, torch.ones(RESAMPLES, n).double())
    value = torch.stack([torch.cat([pair.auroc() for pair in group]).mean() for group in groups]).mean()
    drawn = torch.stack([torch.stack([pair.auroc(weights) for pair in group]).nanmean(0) for group in groups]).mean(0)
    low, high = drawn.nanquantile(torch.tensor(LEVELS, dtype=torch.float64)).tolist()
    return Estimate(float(value), low, high)
