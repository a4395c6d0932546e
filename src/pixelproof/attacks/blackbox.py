"""SPSA, and transfer from a surrogate: attacks on models that give no gradients."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from pixelproof import lp
from pixelproof.attacks.attack import Attack, Kind, Model, budget, check_settings
from pixelproof.attacks.gradient_pass import ask
from pixelproof.attacks.mount import LOOKED_AT, Prepared, Progress
from pixelproof.attacks.objectives import Loss, Objective
from pixelproof.attacks.result import AdversarialSet
from pixelproof.attacks.rows import Rows
from pixelproof.attacks.stochastic import in_expectation
from pixelproof.attacks.watch import Watched, watch
from pixelproof.data import Dataset
from pixelproof.draws import Draws, Rng
from pixelproof.errors import BadInput
from pixelproof.lp import Ball
from pixelproof.models import Classifier
from pixelproof.types import Goal, Images, Labels, PerImage


@dataclass(frozen=True)
class SPSA:
    """Gradient descent on a gradient estimated from scores (Uesato et al. 2018, arXiv 1802.05666).

    Each step looks at `pairs` random sign patterns v and their opposites, and averages
    (loss(x + delta v) - loss(x - delta v)) / (2 delta) v; Adam takes the step. An image costs 2 pairs + 1 forward
    passes a step, and none once it is fooled.
    """

    eps: float
    steps: int = 50
    pairs: int = 32
    delta: float = 0.01
    rate: float = 0.01
    loss: Loss = "margin"
    norm: Ball = "linf"

    name: ClassVar[str] = "spsa"
    kind: ClassVar[Kind] = "budget"
    draws: ClassVar[bool] = True
    targetable: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_settings(self.name, eps=self.eps, norm=self.norm, at_least_one={"steps": self.steps, "pairs": self.pairs})
        if not (self.delta > 0 and self.rate > 0):
            raise BadInput(self.name, "delta and rate must be positive", (self.delta, self.rate))

    def __call__(self, model: Model, images: Images, goal: Goal, rng: Rng) -> Images:
        """The first iterate that reaches the goal, else the last."""
        watched, draws = watch(model, goal), Draws.of(rng, len(images))
        objective, result = Objective.of(goal, self.loss), images.clone()
        at, eps = torch.arange(len(images), device=images.device), budget(self.eps, images, goal)
        moments = torch.zeros_like(images), torch.zeros_like(images)
        state = SPSAState(at, watched, objective, draws, images, eps, images, *moments)
        for step in range(1, self.steps + 1):
            gradient = self._estimate(state)
            state.first = 0.9 * state.first + 0.1 * gradient
            state.second = 0.999 * state.second + 0.001 * gradient.square()
            move = (state.first / (1 - 0.9**step)) / ((state.second / (1 - 0.999**step)).sqrt() + 1e-8)
            state.x = lp.confine(state.clean, state.x - self.rate * move, state.eps, self.norm)
            result[state.at] = state.x
            hit, _ = ask(state.model, state.x, state.goal)
            if hit.any():
                state = state[~hit]
                if not len(state.at):
                    break
        return result

    def _estimate(self, state: SPSAState) -> Images:
        """The loss's gradient, from differences of scores along random signs; nothing outside [0, 1] is asked."""
        x, gradient = state.x, torch.zeros_like(state.x)
        signs = 1 - 2 * (state.draws.uniform(self.pairs, *x.shape[1:]).to(x.device) < 0.5).float()
        for k in range(self.pairs):
            sides = ((x + side * self.delta * signs[:, k]).clamp(0, 1) for side in (1, -1))
            up, down = (ask(state.model, side, state.goal)[1] for side in sides)
            gradient += lp.per_image((up - down) / (2 * self.delta)) * signs[:, k] / self.pairs
        return gradient


@dataclass
class SPSAState(Rows):
    """Where each image's search stands."""

    at: Tensor
    model: Watched
    goal: Objective
    draws: Draws
    clean: Images
    eps: PerImage
    x: Images
    first: Images
    second: Images


def transfer(
    attack: Attack,
    surrogate: Classifier,
    model: Classifier,
    data: Dataset,
    *,
    targets: Labels | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> AdversarialSet:
    """What `attack` finds against `surrogate`, judged on `model`, which is never asked during the search.

    Attacked are the images that `model` gets right. Passes and first breaks are the surrogate's; a random surrogate is
    attacked in expectation, with draws from `seed`. Raises BadInput for a surrogate of another input shape or number of
    classes.
    """
    field = Prepared.of(model, data, targets, None)
    for what, wanted, got in (
        ("input shape", model.card.input_shape, surrogate.card.input_shape),
        ("number of classes", len(model.card.classes), len(surrogate.card.classes)),
    ):
        if wanted != got:
            raise BadInput("transfer", f"the surrogate must have the model's {what} {wanted}", got)
    seen, random = in_expectation(surrogate, field.data[: min(len(field.data), LOOKED_AT)].images)
    search = replace(field, model=seen, random=random)
    with search.seeded(seed):
        outcome = search.run(attack, Draws.keyed(seed, field.data.index), progress=progress)
    with field.seeded(seed):
        return field.judge(outcome, attack, seed)
