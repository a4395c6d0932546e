"""Noise of the same size as an attack: the control without which a fooling rate means little."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from pixelproof import lp
from pixelproof.attacks.attack import Kind, Model, budget, check_settings
from pixelproof.draws import Draws, Rng
from pixelproof.lp import Ball
from pixelproof.types import Goal, Images


@dataclass(frozen=True)
class UniformNoise:
    """A perturbation drawn uniformly from the ball of radius eps: no model is asked."""

    eps: float
    norm: Ball = "linf"

    name: ClassVar[str] = "uniform-noise"
    kind: ClassVar[Kind] = "budget"
    draws: ClassVar[bool] = True
    targetable: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_settings(self.name, eps=self.eps, norm=self.norm)

    def __call__(self, model: Model, images: Images, goal: Goal, rng: Rng) -> Images:
        """Images plus one draw each, clipped to [0, 1]."""
        draws = Draws.of(rng, len(images))
        start = lp.random_start(draws, tuple(images.shape[1:]), budget(self.eps, images, goal), self.norm)
        return (images + start).clamp(0, 1)


@dataclass(frozen=True)
class SignNoise:
    """Plus or minus eps on every value, at random: as large in linf as FGSM, and aimed at nothing."""

    eps: float

    name: ClassVar[str] = "sign-noise"
    kind: ClassVar[Kind] = "budget"
    draws: ClassVar[bool] = True
    targetable: ClassVar[bool] = True
    norm: ClassVar[Literal["linf"]] = "linf"

    def __post_init__(self) -> None:
        check_settings(self.name, eps=self.eps, norm=self.norm)

    def __call__(self, model: Model, images: Images, goal: Goal, rng: Rng) -> Images:
        """Images plus one draw each, clipped to [0, 1]."""
        coins = Draws.of(rng, len(images)).uniform(*images.shape[1:]).to(images.device) < 0.5
        return (images + lp.per_image(budget(self.eps, images, goal)) * (1 - 2 * coins.float())).clamp(0, 1)
