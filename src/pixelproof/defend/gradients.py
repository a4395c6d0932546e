"""Gradient manipulation in the optimiser: noise, clipping, smoothing (paper 2's other half)."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import sqrt
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pixelproof.data import Dataset
from pixelproof.defend.defence import Role, Setting, TrainingPart, check_positive, check_share
from pixelproof.defend.harden import Hardening
from pixelproof.draws import numpy_rng
from pixelproof.errors import BadInput
from pixelproof.models import Classifier, Recipe, Step
from pixelproof.specs import derived

TAPE = 2**20  # normal numbers drawn per epoch; each tensor gets a window of them at a random place


@dataclass(frozen=True)
class GradientNoise:
    """Normal noise of variance `scale` / (1 + t)^`decay` added to every gradient at step t (Neelakantan et al. 2015).

    arXiv 1511.06807. The scale decides: 1e-5 helps on MNIST, 0.01 ruins the network.
    """

    scale: float = 1e-5
    decay: float = 0.55

    name: ClassVar[str] = "gradient-noise"
    roles: ClassVar[tuple[Role, ...]] = ("ingredient",)

    def __post_init__(self) -> None:
        check_positive(self.name, scale=self.scale)
        if self.decay < 0:
            raise BadInput(self.name, "decay must not be negative", self.decay)

    def prepare(self, setting: Setting) -> TrainingPart:
        """One treatment of the gradients."""
        return TrainingPart(Recipe(treatments=(Noising(self, setting.training.seed),)))

    def __call__(self, model: Classifier, data: Dataset, rng: torch.Generator) -> Classifier:
        """A network trained with noisy gradients."""
        return Hardening((self,))(model, data, rng)


@dataclass(frozen=True)
class GradientClipping:
    """Gradients cut to a total l2 `norm`, or every entry to [-`value`, `value`]; exactly one of the two."""

    norm: float | None = field(default=None, metadata=derived("none where value is given"))
    value: float | None = field(default=None, metadata=derived("none where norm is given"))

    name: ClassVar[str] = "gradient-clip"
    roles: ClassVar[tuple[Role, ...]] = ("ingredient",)

    def __post_init__(self) -> None:
        given = [limit for limit in (self.norm, self.value) if limit is not None]
        if len(given) != 1:
            raise BadInput(self.name, "needs either norm or value", f"norm={self.norm}, value={self.value}")
        check_positive(self.name, limit=given[0])

    def prepare(self, setting: Setting) -> TrainingPart:
        """One treatment of the gradients."""
        return TrainingPart(Recipe(treatments=(self.clip,)))

    def clip(self, gradients: list[Tensor], step: Step) -> None:
        """Cut in place."""
        if self.value is not None:
            torch._foreach_clamp_min_(gradients, -self.value)
            torch._foreach_clamp_max_(gradients, self.value)
            return
        assert self.norm is not None
        size = torch.stack(torch._foreach_norm(gradients)).norm()
        torch._foreach_mul_(gradients, (self.norm / (size + 1e-6)).clamp_max(1.0))

    def __call__(self, model: Classifier, data: Dataset, rng: torch.Generator) -> Classifier:
        """A network trained with clipped gradients."""
        return Hardening((self,))(model, data, rng)


@dataclass(frozen=True)
class GradientSmoothing:
    """Gradients averaged over time (decay `memory`) and along each row of weights at widths 1, 3, .. 2 `scales` - 1.

    scales=1 leaves the rows as they are. The filter is what paper 2 calls multi-scale gradient filtering; it says no
    more about it than the name.
    """

    memory: float = 0.9
    scales: int = 1

    name: ClassVar[str] = "gradient-smoothing"
    roles: ClassVar[tuple[Role, ...]] = ("ingredient",)

    def __post_init__(self) -> None:
        check_share(self.name, memory=self.memory)
        if self.memory == 1 or self.scales < 1:
            raise BadInput(self.name, "memory must be below 1 and scales at least 1", f"{self.memory}, {self.scales}")

    def prepare(self, setting: Setting) -> TrainingPart:
        """One treatment of the gradients."""
        return TrainingPart(Recipe(treatments=(Smoothing(self),)))

    def __call__(self, model: Classifier, data: Dataset, rng: torch.Generator) -> Classifier:
        """A network trained with smoothed gradients."""
        return Hardening((self,))(model, data, rng)


class Noising:
    """Adds windows of a row of normal numbers that is drawn anew each epoch: the numbers cost more than the sum."""

    def __init__(self, settings: GradientNoise, seed: int) -> None:
        self.settings, self.steps = settings, 0
        self.rng = numpy_rng(seed, np.random.SFC64)
        self.numbers = torch.empty(0)

    def __call__(self, gradients: list[Tensor], step: Step) -> None:
        """Add noise in place."""
        longest = max(gradient.numel() for gradient in gradients)
        if step.number == 0 or not len(self.numbers):
            self.numbers = torch.from_numpy(self.rng.standard_normal(max(TAPE, 2 * longest), dtype=np.float32))
        deviation = sqrt(self.settings.scale / (1 + self.steps) ** self.settings.decay)
        self.steps += 1
        for gradient in gradients:
            start = int(self.rng.integers(0, len(self.numbers) - gradient.numel() + 1))
            window = self.numbers[start : start + gradient.numel()]
            gradient.add_(window.view(gradient.shape).to(gradient.device), alpha=deviation)


class Smoothing:
    """Keeps the running mean of the gradients."""

    def __init__(self, settings: GradientSmoothing) -> None:
        self.settings = settings
        self.mean: list[Tensor] = []

    def __call__(self, gradients: list[Tensor], step: Step) -> None:
        """Smooth in place."""
        if self.settings.scales > 1:
            for gradient in gradients:
                if gradient.ndim > 1:
                    gradient.copy_(multiscale(gradient, self.settings.scales))
        if not self.mean:
            self.mean = [gradient.clone() for gradient in gradients]
            return
        torch._foreach_lerp_(self.mean, gradients, 1 - self.settings.memory)
        torch._foreach_copy_(gradients, self.mean)


def multiscale(gradient: Tensor, scales: int) -> Tensor:
    """The mean of box filters of widths 1, 3, .. 2 `scales` - 1 along the last axis, edges repeated."""
    rows = gradient.reshape(-1, 1, gradient.shape[-1])
    filtered = [
        F.avg_pool1d(F.pad(rows, (reach, reach), mode="replicate"), 2 * reach + 1, stride=1) if reach else rows
        for reach in range(scales)
    ]
    return torch.stack(filtered).mean(0).view_as(gradient)
