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
from pixelproof.attacks.gradient_pass import GradientPass, look
from pixelproof.attacks.watch import Watched
from pixelproof.lp import Ball
from pixelproof.types import Goal, Images, Mask, PerImage


@dataclass(frozen=True)
class Walk:
    """Projected steps down the goal loss, with a budget and a step size per image.

    With `early_stop` an image leaves at the first iterate that reaches the goal; without it every image takes every
    step, and the last iterate that reaches the goal is kept.
    """

    steps: int
    eps: PerImage
    step_size: PerImage
    norm: Ball
    half: bool = False
    early_stop: bool = True

    def __call__(self, model: Watched, clean: Images, goal: Goal, start: Images) -> tuple[Images, Mask, PerImage]:
        """Per image: the first (or last) iterate that reaches the goal, else the best one; whether it did; its loss."""
        crowd = _Crowd(self, model, clean, goal, start)
        for _ in range(self.steps):
            if self.early_stop:
                crowd.ask(crowd.expected)
            if not len(crowd.rows):
                break
            seen = look(crowd.model, crowd.x, crowd.goal, half=self.half)
            if self.half:  # too coarse to say which of two points is the better one
                seen = seen._replace(loss=torch.full_like(seen.loss, float("inf")))
            crowd.move(seen, self.norm)
        crowd.ask(torch.ones_like(crowd.expected))
        return crowd.best, crowd.reached, crowd.lowest


class _Crowd:
    """The images still walking (one row each), and for every image the best point seen so far."""

    def __init__(self, walk: Walk, model: Watched, clean: Images, goal: Goal, start: Images) -> None:
        n = len(clean)
        self.best = start.clone()
        self.lowest = torch.full((n,), float("inf"), device=clean.device)
        self.reached = torch.zeros(n, dtype=torch.bool, device=clean.device)
        self.rows = torch.arange(n, device=clean.device)
        self.model, self.clean, self.goal, self.x = model, clean, goal, start
        self.eps, self.size, self.early_stop = walk.eps, walk.step_size, walk.early_stop
        self.margin = torch.full_like(self.lowest, -float("inf"))
        self.expected = torch.zeros_like(self.reached)

    def ask(self, which: Mask) -> None:
        """Judge some of the walking images where they stand, without a gradient; those that are fooled leave."""
        if not which.any():
            return
        goal = self.goal[which]
        with torch.no_grad():
            logits = self.model[which](self.x[which])
        self._note(which.nonzero()[:, 0], goal.loss(logits), goal.reached(logits))
        self._leave()

    def move(self, seen: GradientPass, norm: Ball) -> None:
        """One step for all; an image that loses as much margin again as it just lost is expected to be fooled."""
        self._note(torch.arange(len(self.rows), device=self.rows.device), seen.loss, seen.hit)
        self.expected = seen.margin < self.margin - seen.margin
        self.margin = seen.margin
        x = self.x - lp.per_image(self.size) * lp.ascent(seen.gradient, norm)
        self.x = lp.clip(x, self.clean, self.eps, norm)
        self._leave()

    def _note(self, places: Tensor, loss: PerImage, hit: Mask) -> None:
        rows = self.rows[places]
        better = hit | (loss < self.lowest[rows]) & ~self.reached[rows]
        if self.early_stop:
            better &= ~self.reached[rows]
        self.best[rows[better]], self.lowest[rows[better]] = self.x[places[better]], loss[better]
        self.reached[rows] |= hit

    def _leave(self) -> None:
        """Drop the fooled: at once on a CPU, by halves on a GPU, where new shapes cost more."""
        done = self.reached[self.rows]
        if not self.early_stop or not done.any() or (done.is_cuda and 2 * done.sum() < len(done)):
            return
        stay = ~done
        self.rows, self.x, self.clean, self.eps = self.rows[stay], self.x[stay], self.clean[stay], self.eps[stay]
        self.size, self.margin, self.expected = self.size[stay], self.margin[stay], self.expected[stay]
        self.model, self.goal = self.model[stay], self.goal[stay]
