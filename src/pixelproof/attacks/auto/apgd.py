"""APGD: projected gradient descent that sets its own step size."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from pixelproof import lp
from pixelproof.attacks.attack import Kind, Model, budget, check_settings
from pixelproof.attacks.auto.sparse import SparseClimb
from pixelproof.attacks.gradient_pass import look
from pixelproof.attacks.objectives import Loss, Objective
from pixelproof.attacks.precision import Precision, in_half, settled
from pixelproof.attacks.restarts import best_of_restarts, objectives_for
from pixelproof.attacks.rows import Rows
from pixelproof.attacks.watch import Watched
from pixelproof.draws import Draws, Rng
from pixelproof.lp import Convex
from pixelproof.types import Goal, Images, Mask, PerImage

MOMENTUM = 0.75
RISES = 0.75  # share of an interval's steps that must improve the loss, or the step size is halved
FIRST, SHRINK, SHORTEST = 0.22, 0.03, 0.06  # checkpoints as shares of the steps


@dataclass(frozen=True)
class APGD:
    """Auto-PGD (Croce & Hein 2020, arXiv 2003.01690; l1: Croce & Hein 2021, arXiv 2103.01208).

    Steps with momentum; at checkpoints that come ever closer the step size, 2 eps at first, is halved and the search
    goes back to its best point where the loss rose too rarely. With `targets` k, one run per each of the k strongest
    rivals, `first` to skip some. The loss is "ce", "margin", "dlr" or "probability". An image that is fooled leaves
    at once; the iterates of the others are those of the published algorithm. `precision` "auto" and "bf16" take
    gradients in bfloat16 where the processor has it ("auto") or always; successes are always float32.
    """

    eps: float
    steps: int = 100
    loss: Loss = "ce"
    targets: int = 0
    first: int = 0
    restarts: int = 1
    norm: Convex = "linf"
    precision: Precision = "float32"

    name: ClassVar[str] = "apgd"
    kind: ClassVar[Kind] = "budget"
    draws: ClassVar[bool] = True
    targetable: ClassVar[bool] = True

    def __post_init__(self) -> None:
        counts = {"steps": self.steps, "restarts": self.restarts}
        check_settings(self.name, eps=self.eps, norm=self.norm, at_least_one=counts)
        check_settings(self.name, at_least_one={"targets + 1": self.targets + 1, "first + 1": self.first + 1})

    def used(self, device: torch.device) -> APGD:
        """The same attack with its precision written out."""
        return replace(self, precision=settled(self.precision, device))

    def __call__(self, model: Model, images: Images, goal: Goal, rng: Rng) -> Images:
        """The first iterate that reaches the goal, else the one with the lowest loss over all runs."""
        objectives = objectives_for(
            model, images, goal, kind=self.loss, targets=self.targets, restarts=self.restarts, first=self.first
        )
        return best_of_restarts(self._run, model, images, goal, rng, objectives=objectives)

    def _run(self, model: Watched, images: Images, goal: Objective, draws: Draws) -> tuple[Images, Mask, PerImage]:
        eps = budget(self.eps, images, goal)
        half = in_half(self.precision, images.device)
        if self.norm == "l1":
            return SparseClimb(self.steps, half).schedule(model, images, goal, draws, eps)
        start = images + lp.random_start(draws, tuple(images.shape[1:]), eps, self.norm)
        return Climb(self.steps, self.norm, half)(model, images, goal, start.clamp(0, 1), eps)


@dataclass
class ClimbState(Rows):
    """Where each image's search stands."""

    at: Tensor
    model: Watched
    goal: Objective
    clean: Images
    eps: PerImage
    x: Images
    previous: Images
    gradient: Images
    loss: PerImage
    best: Images
    best_gradient: Images
    best_loss: PerImage
    size: PerImage
    rises: PerImage
    halved: Mask
    loss_at_check: PerImage


@dataclass(frozen=True)
class Climb:
    """One run of APGD for linf and l2, with a budget per image."""

    steps: int
    norm: lp.Ball
    half: bool

    def __call__(
        self, model: Watched, clean: Images, goal: Objective, start: Images, eps: PerImage
    ) -> tuple[Images, Mask, PerImage]:
        """Per image: the first iterate that reaches the goal, else the best one; whether it did; its loss."""
        n = len(clean)
        result, lowest = start.clone(), torch.full((n,), float("inf"), device=clean.device)
        reached = torch.zeros(n, dtype=torch.bool, device=clean.device)
        at = torch.arange(n, device=clean.device)
        gradient, loss, _, hit, _ = look(model, start, goal, half=self.half)
        at_rest = (torch.zeros_like(loss), torch.ones_like(hit), loss)
        state = ClimbState(
            at, model, goal, clean, eps, start, start, gradient, loss, start, gradient, loss, 2 * eps, *at_rest
        )
        interval = check = max(int(FIRST * self.steps), 1)
        for step in range(self.steps + 1):
            if hit.any():
                done = state.at[hit]
                result[done], reached[done], lowest[done] = state.x[hit], True, loss[hit]
                state = state[~hit]
            if step == self.steps or not len(state.at):
                break
            self._move(state, first=step == 0)
            state.gradient, loss, _, hit, _ = look(state.model, state.x, state.goal, half=self.half)
            state.rises += loss < state.loss
            state.loss = loss
            better = loss < state.best_loss
            state.best = torch.where(lp.per_image(better), state.x, state.best)
            state.best_gradient = torch.where(lp.per_image(better), state.gradient, state.best_gradient)
            state.best_loss = torch.where(better, loss, state.best_loss)
            if step + 1 == check:
                self._adapt(state, interval, keep=hit)
                interval = max(interval - max(int(SHRINK * self.steps), 1), max(int(SHORTEST * self.steps), 1))
                check += interval
        result[state.at], lowest[state.at] = state.best, state.best_loss
        return result, reached, lowest

    def _move(self, state: ClimbState, *, first: bool) -> None:
        """A projected gradient step, then momentum from the last two points."""
        step = state.x - lp.per_image(state.size) * lp.ascent(state.gradient, self.norm)
        step = lp.confine(state.clean, step, state.eps, self.norm)
        if not first:
            step = state.x + MOMENTUM * (step - state.x) + (1 - MOMENTUM) * (state.x - state.previous)
            step = lp.confine(state.clean, step, state.eps, self.norm)
        state.previous, state.x = state.x, step

    def _adapt(self, state: ClimbState, interval: int, *, keep: Mask) -> None:
        """Halve the step and go back to the best point where progress was rare, or nil since the last check."""
        stalled = ~state.halved & (state.loss_at_check <= state.best_loss)
        state.halved = (state.rises <= RISES * interval) | stalled
        state.loss_at_check, state.rises = state.best_loss, torch.zeros_like(state.rises)
        back = state.halved & ~keep  # an image that has just been fooled leaves with the point that did it
        state.size = torch.where(back, state.size / 2, state.size)
        state.x = torch.where(lp.per_image(back), state.best, state.x)
        state.gradient = torch.where(lp.per_image(back), state.best_gradient, state.gradient)
