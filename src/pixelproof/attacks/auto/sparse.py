"""APGD for l1: sparse steps, the exact projection onto ball and box, and budgets that shrink to the one asked for."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pixelproof import lp
from pixelproof.attacks.gradient_pass import look
from pixelproof.attacks.objectives import Objective
from pixelproof.attacks.rows import Rows
from pixelproof.attacks.watch import Watched
from pixelproof.draws import Draws
from pixelproof.types import Images, Mask, PerImage

STAGES = ((3.0, 0.3), (2.0, 0.3), (1.0, 0.4))  # budget as a multiple of eps, share of the steps
CHECK = 0.04  # a check after this share of the steps
FIRST_SHARE = 0.2  # of all values are moved by the first steps from the clean image; from others, 2/3 of those changed
SHRINK, SMALLEST = 1.5, 10.0  # the step size falls by SHRINK, down to eps / SMALLEST


@dataclass
class SparseState(Rows):
    """Where each image's search stands."""

    at: Tensor
    model: Watched
    goal: Objective
    clean: Images
    eps: PerImage
    x: Images
    gradient: Images
    best: Images
    best_gradient: Images
    best_loss: PerImage
    size: PerImage
    share: PerImage
    support: PerImage


@dataclass(frozen=True)
class SparseClimb:
    """l1-APGD (Croce & Hein 2021, arXiv 2103.01208, algorithm 1, with its multi-eps schedule)."""

    steps: int
    half: bool

    def schedule(
        self, model: Watched, clean: Images, goal: Objective, draws: Draws, eps: PerImage
    ) -> tuple[Images, Mask, PerImage]:
        """Runs at 3, 2 and 1 times the budget, each from the last one's best point; only the last may succeed."""
        noise = draws.normal(*clean.shape[1:]).to(clean.device)
        x = lp.confine(clean, clean + noise, STAGES[0][0] * eps, "l1")
        spent = 0
        for factor, share in STAGES:
            last = factor == 1.0
            steps = self.steps - spent if last else int(share * self.steps)
            spent += steps
            x = lp.confine(clean, x, factor * eps, "l1")
            x, reached, loss = self._run(model, clean, goal, x, factor * eps, steps=max(steps, 1), stop=last)
        return x, reached, loss

    def _run(
        self, model: Watched, clean: Images, goal: Objective, start: Images, eps: PerImage, *, steps: int, stop: bool
    ) -> tuple[Images, Mask, PerImage]:
        """Per image the best point; with `stop`, the first that reaches the goal, after which the image leaves."""
        n = len(clean)
        result, lowest = start.clone(), torch.full((n,), float("inf"), device=clean.device)
        reached = torch.zeros(n, dtype=torch.bool, device=clean.device)
        at = torch.arange(n, device=clean.device)
        gradient, loss, _, hit, _ = look(model, start, goal, half=self.half)
        values = clean[0].numel()
        moved_already = (start != clean).flatten(1).sum(1).to(loss.dtype)
        fresh = moved_already == 0
        support = torch.where(fresh, FIRST_SHARE * values, moved_already)
        share = torch.where(fresh, FIRST_SHARE, moved_already / values / 1.5)
        state = SparseState(
            at, model, goal, clean, eps, start, gradient, start, gradient, loss, eps.clone(), share, support
        )
        interval = max(int(CHECK * steps), 1)
        for step in range(steps + 1):
            if stop and hit.any():
                done = state.at[hit]
                result[done], reached[done], lowest[done] = state.x[hit], True, loss[hit]
                state = state[~hit]
            if step == steps or not len(state.at):
                break
            moved = state.x - lp.per_image(state.size) * sparse_ascent(state.gradient, state.share)
            state.x = lp.confine(state.clean, moved, state.eps, "l1")
            state.gradient, loss, _, hit, _ = look(state.model, state.x, state.goal, half=self.half)
            better = loss < state.best_loss
            state.best = torch.where(lp.per_image(better), state.x, state.best)
            state.best_gradient = torch.where(lp.per_image(better), state.gradient, state.best_gradient)
            state.best_loss = torch.where(better, loss, state.best_loss)
            if (step + 1) % interval == 0:
                self._adapt(state, keep=hit if stop else torch.zeros_like(hit))
        result[state.at], lowest[state.at] = state.best, state.best_loss
        return result, reached, lowest

    def _adapt(self, state: SparseState, *, keep: Mask) -> None:
        """Where the best perturbation became sparser: full steps again, from there; elsewhere smaller steps."""
        values = state.clean[0].numel()
        support = (state.best != state.clean).flatten(1).sum(1).to(state.size.dtype)
        sparser = (support < 0.95 * state.support) & ~keep
        state.share, state.support = support / values / 1.5, support
        smaller = torch.maximum(state.size / SHRINK, state.eps / SMALLEST)
        state.size = torch.where(sparser, state.eps, smaller)
        state.x = torch.where(lp.per_image(sparser), state.best, state.x)
        state.gradient = torch.where(lp.per_image(sparser), state.best_gradient, state.gradient)


def sparse_ascent(gradient: Images, share: PerImage) -> Images:
    """A step of l1 length one: equal moves on each image's steepest values, a `share` of them (one at least)."""
    steep = gradient.flatten(1).abs()
    values = steep.shape[1]
    # rounded down, where the paper's code rounds up, so that a single value can be reached in small images too
    keep = (share * values).long().clamp(1, values)
    threshold: Tensor = steep.sort(dim=1).values.gather(1, values - keep[:, None])
    signs = gradient.sign() * (steep >= threshold).view_as(gradient)
    return signs / lp.per_image(lp.norm(signs, "l1").clamp_min(1))
