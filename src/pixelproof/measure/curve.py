"""curve: robust accuracy over a whole range of budgets for a fraction of what the points cost one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pixelproof import attacks
from pixelproof.attacks import FMN, PGD
from pixelproof.data import Dataset
from pixelproof.errors import BadInput
from pixelproof.lp import Ball
from pixelproof.models import Classifier
from pixelproof.types import PerImage, Rate


@dataclass(frozen=True, eq=False)
class Curve:
    """Robust accuracy at each budget, from each image's smallest known breaking distance; it never rises with eps.

    `distance` has one row per correctly classified image (infinite where nothing broke it) and `offered` counts all.
    """

    eps: tuple[float, ...]
    index: Tensor
    distance: PerImage
    offered: int

    @property
    def robust_accuracy(self) -> tuple[Rate, ...]:
        """The share of all images offered that hold at each budget."""
        return tuple(Rate(int((self.distance > budget * (1 + 1e-6)).sum()), self.offered) for budget in self.eps)


def curve(model: Classifier, data: Dataset, eps: Sequence[float], *, norm: Ball = "linf", seed: int = 0) -> Curve:
    """The better, image by image, of FMN-100 and of PGD-40 bisecting the budgets; ascending `eps`."""
    if list(eps) != sorted(set(eps)) or not len(eps):
        raise BadInput("curve", "budgets must ascend", tuple(eps))
    near = attacks.mount(FMN(norm), model, data, seed=seed)
    best = near.minimal(norm)
    for found in attacks.sweep(PGD(eps[-1], norm=norm), model, data, eps, seed=seed):
        best = torch.minimum(best, found.minimal(norm))
    return Curve(tuple(eps), near.index, best, near.offered)
