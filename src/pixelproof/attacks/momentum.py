"""MI-FGSM and margin PGD: steps along an accumulated gradient."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from torch import Tensor

from pixelproof import lp
from pixelproof.attacks.attack import Kind, Model, budget, check_settings
from pixelproof.attacks.gradient_pass import ask, look
from pixelproof.attacks.objectives import Loss, Objective
from pixelproof.attacks.precision import Precision, in_half, settled
from pixelproof.attacks.restarts import best_of_restarts, objectives_for
from pixelproof.attacks.rows import Rows
from pixelproof.attacks.watch import Watched
from pixelproof.draws import Draws, Rng
from pixelproof.errors import BadInput
from pixelproof.lp import Ball
from pixelproof.specs import derived
from pixelproof.types import Goal, Images, Mask, PerImage


@dataclass(frozen=True)
class MIFGSM:
    """Momentum iterative FGSM (Dong et al. 2018, arXiv 1710.06081): the base of attacks that transfer.

    g <- momentum * g + grad / ||grad||_1, then a step of eps / steps along it, from the clean image.
    """

    eps: float
    steps: int = 10
    momentum: float = 1.0
    norm: Ball = "linf"

    name: ClassVar[str] = "mi-fgsm"
    kind: ClassVar[Kind] = "budget"
    draws: ClassVar[bool] = False
    targetable: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_settings(self.name, eps=self.eps, norm=self.norm, at_least_one={"steps": self.steps})
        check_momentum(self.name, self.momentum)

    def __call__(self, model: Model, images: Images, goal: Goal, rng: Rng) -> Images:
        """The first iterate that reaches the goal, else the one with the lowest loss."""
        steps = MomentumSteps(self.steps, self.momentum, self.norm, cosine=False, half=False)

        def search(model: Watched, clean: Images, goal: Objective, draws: Draws) -> tuple[Images, Mask, PerImage]:
            return steps(model, clean, goal, clean, budget(self.eps, clean, goal))

        return best_of_restarts(search, model, images, goal, rng, objectives=[Objective.of(goal, "ce")])


@dataclass(frozen=True)
class MarginPGD:
    """PGD on a margin with momentum and cosine steps from 2 eps: the most images broken per early gradient.

    With `targets` k it runs once towards each of the k strongest rivals (multi-targeted PGD, Gowal et al. 2019,
    arXiv 1910.09338), `first` to skip some. The loss is "margin", "probability", "dlr" or "ce". `precision` as for
    PGD: bfloat16 gradients where the processor has them, successes always float32.
    """

    eps: float
    steps: int = 20
    loss: Loss = "margin"
    targets: int = 0
    first: int = 0
    restarts: int = 1
    momentum: float = 0.75
    norm: Ball = "linf"
    precision: Precision = field(default="auto", metadata=derived("bf16 where the processor has it, else float32"))

    name: ClassVar[str] = "margin-pgd"
    kind: ClassVar[Kind] = "budget"
    draws: ClassVar[bool] = True
    targetable: ClassVar[bool] = True

    def __post_init__(self) -> None:
        counts = {"steps": self.steps, "restarts": self.restarts}
        check_settings(self.name, eps=self.eps, norm=self.norm, at_least_one=counts)
        check_settings(self.name, at_least_one={"targets + 1": self.targets + 1, "first + 1": self.first + 1})
        check_momentum(self.name, self.momentum)

    def used(self, device: torch.device) -> MarginPGD:
        """The same attack with its precision written out."""
        return replace(self, precision=settled(self.precision, device))

    def __call__(self, model: Model, images: Images, goal: Goal, rng: Rng) -> Images:
        """The first iterate that reaches the goal, else the one with the lowest loss over all runs."""
        objectives = objectives_for(
            model, images, goal, kind=self.loss, targets=self.targets, restarts=self.restarts, first=self.first
        )
        return best_of_restarts(self._run, model, images, goal, rng, objectives=objectives)

    def _run(self, model: Watched, clean: Images, goal: Objective, draws: Draws) -> tuple[Images, Mask, PerImage]:
        eps = budget(self.eps, clean, goal)
        half = in_half(self.precision, clean.device)
        start = (clean + lp.random_start(draws, tuple(clean.shape[1:]), eps, self.norm)).clamp(0, 1)
        return MomentumSteps(self.steps, self.momentum, self.norm, cosine=True, half=half)(
            model, clean, goal, start, eps
        )


@dataclass
class MomentumState(Rows):
    """Where each image's search stands."""

    at: Tensor
    model: Watched
    goal: Objective
    clean: Images
    eps: PerImage
    x: Images
    velocity: Images


@dataclass(frozen=True)
class MomentumSteps:
    """Steps along the accumulated gradient: eps / steps each, or cosine from 2 eps down to eps / 50."""

    steps: int
    momentum: float
    norm: Ball
    cosine: bool
    half: bool

    def __call__(
        self, model: Watched, clean: Images, goal: Objective, start: Images, eps: PerImage
    ) -> tuple[Images, Mask, PerImage]:
        """Per image: the first iterate that reaches the goal, else the best one; whether it did; its loss."""
        n = len(clean)
        best, lowest = start.clone(), torch.full((n,), float("inf"), device=clean.device)
        reached = torch.zeros(n, dtype=torch.bool, device=clean.device)
        at = torch.arange(n, device=clean.device)
        state = MomentumState(at, model, goal, clean, eps, start, torch.zeros_like(start))
        for step in range(self.steps + 1):
            last = step == self.steps
            if last:
                gradient, (hit, loss) = state.x, ask(state.model, state.x, state.goal)
            else:
                gradient, loss, _, hit, _ = look(state.model, state.x, state.goal, half=self.half)
            better = hit | (loss < lowest[state.at])
            better_at = state.at[better]
            best[better_at], lowest[better_at], reached[state.at] = state.x[better], loss[better], hit
            state, gradient = (state[~hit], gradient[~hit]) if hit.any() else (state, gradient)
            if last or not len(state.at):
                break
            state.velocity = self.momentum * state.velocity + lp.unit(gradient, "l1")
            x = state.x - lp.per_image(state.eps * self._share(step)) * lp.ascent(state.velocity, self.norm)
            state.x = lp.confine(state.clean, x, state.eps, self.norm)
        return best, reached, lowest

    def _share(self, step: int) -> float:
        """The step size as a share of the budget."""
        if not self.cosine:
            return 1 / self.steps
        return max(1 + math.cos(math.pi * step / self.steps), 0.02)


def check_momentum(who: str, momentum: float) -> None:
    """Refuse a momentum that forgets nothing or runs away."""
    if not 0 <= momentum <= 1:
        raise BadInput(who, "momentum must lie in 0..1", momentum)
