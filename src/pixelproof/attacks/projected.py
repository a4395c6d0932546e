"""The loop behind BIM and PGD: projected steps down the goal loss, each image at its own budget.

What keeps it fast: gradients go to the input only; images pass through the model in portions that fit the cache; an
image leaves at the pass that shows it fooled, and one that is expected to be fooled by now is asked before a gradient
is spent on it; gradients may be taken in bfloat16, while every success is judged in float32.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pixelproof import lp
from pixelproof.attacks.gradient_pass import ask, look
from pixelproof.attacks.rows import Rows
from pixelproof.attacks.watch import Watched
from pixelproof.lp import Ball
from pixelproof.types import Goal, Images, Mask, PerImage


@dataclass(frozen=True)
class ProjectedSteps:
    """Projected steps down the goal loss, with a budget and a step size per image.

    x <- project(x - step_size * direction of the gradient). With `early_stop` an image leaves at the first iterate
    that reaches the goal; without it every image takes every step, and the last iterate that reaches the goal is kept.
    """

    steps: int
    eps: PerImage
    step_size: PerImage
    norm: Ball
    half: bool = False
    early_stop: bool = True

    def __call__(self, model: Watched, clean: Images, goal: Goal, start: Images) -> tuple[Images, Mask, PerImage]:
        """Per image: the first (or last) iterate that reaches the goal, else the best one; whether it did; its loss."""
        best = Best(start, self.early_stop)
        margin = torch.full_like(best.lowest, -float("inf"))
        at = torch.arange(len(clean), device=clean.device)
        state = Iterates(
            at, model, goal, clean, self.eps, self.step_size, start, margin, torch.zeros_like(best.reached)
        )
        for _ in range(self.steps):
            if self.early_stop and state.expected.any():
                state = best.left(self._asked(state, best, state.expected))
            if not len(state.at):
                break
            seen = look(state.model, state.x, state.goal, half=self.half)
            # the loss of a bfloat16 pass is too coarse to say which of two points is the better one
            loss = torch.full_like(seen.loss, float("inf")) if self.half else seen.loss
            best.note(state.at, state.x, loss, seen.hit)
            state.expected = seen.margin < state.margin - seen.margin  # as much again as it just lost, and it is fooled
            state.margin = seen.margin
            x = state.x - lp.per_image(state.step_size) * lp.ascent(seen.gradient, self.norm)
            state.x = lp.clip(x, state.clean, state.eps, self.norm)
            state = best.left(state)
        if len(state.at):
            self._asked(state, best, torch.ones_like(state.expected))
        return best.images, best.reached, best.lowest

    def _asked(self, state: Iterates, best: Best, which: Mask) -> Iterates:
        """Some of the images judged where they stand, without a gradient."""
        hit, loss = ask(state.model[which], state.x[which], state.goal[which])
        best.note(state.at[which], state.x[which], loss, hit)
        return state


@dataclass
class Iterates(Rows):
    """The images still taking steps: where they are in the batch, where they stand, and what is expected of them."""

    at: Tensor
    model: Watched
    goal: Goal
    clean: Images
    eps: PerImage
    step_size: PerImage
    x: Images
    margin: PerImage
    expected: Mask


class Best:
    """For every image of a batch the best point seen so far."""

    def __init__(self, start: Images, early_stop: bool) -> None:
        self.images, self.early_stop = start.clone(), early_stop
        self.lowest = torch.full((len(start),), float("inf"), device=start.device)
        self.reached = torch.zeros(len(start), dtype=torch.bool, device=start.device)

    def note(self, at: Tensor, x: Images, loss: PerImage, hit: Mask) -> None:
        """Take in an iterate of the images at these places."""
        better = hit | (loss < self.lowest[at]) & ~self.reached[at]
        if self.early_stop:
            better &= ~self.reached[at]
        self.images[at[better]], self.lowest[at[better]] = x[better], loss[better]
        self.reached[at] |= hit

    def left(self, state: Iterates) -> Iterates:
        """The images that go on; the fooled are dropped at once on a CPU, by halves on a GPU (new shapes cost more)."""
        done = self.reached[state.at]
        if not self.early_stop or not done.any() or (done.is_cuda and 2 * done.sum() < len(done)):
            return state
        return state[~done]
