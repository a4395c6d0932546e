"""Square: random search with squares; asks the model for scores only."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from pixelproof import lp
from pixelproof.attacks.attack import Kind, Model, budget, check_settings
from pixelproof.attacks.auto.windows import Windows
from pixelproof.attacks.gradient_pass import ask
from pixelproof.attacks.objectives import Objective
from pixelproof.attacks.rows import Rows
from pixelproof.attacks.watch import Watched, watch
from pixelproof.draws import Draws, Rng
from pixelproof.errors import BadInput
from pixelproof.lp import Convex
from pixelproof.types import Goal, Images, PerImage

HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)  # of 10 000 queries: where the square's area is halved
BLOCK = 64  # queries whose random numbers are drawn at once


@dataclass(frozen=True)
class Square:
    """Square attack (Andriushchenko et al. 2020, arXiv 1912.00049): at most `queries` forward passes per image.

    A candidate replaces the perturbation inside one random square; it stays when it lowers the margin (targeted: the
    cross-entropy). The area of the square starts at `share` of the image and is halved on the published schedule,
    stretched to `queries`. For l2 and l1, budget is moved from one random square to another. Every image draws its
    own squares.
    """

    eps: float
    queries: int = 5000
    share: float = 0.8
    norm: Convex = "linf"

    name: ClassVar[str] = "square"
    kind: ClassVar[Kind] = "budget"
    draws: ClassVar[bool] = True
    targetable: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_settings(self.name, eps=self.eps, norm=self.norm, at_least_one={"queries": self.queries})
        if not 0 < self.share <= 1:
            raise BadInput(self.name, "share must lie in (0, 1]", self.share)

    def __call__(self, model: Model, images: Images, goal: Goal, rng: Rng) -> Images:
        """The first candidate that reaches the goal, else the one with the lowest loss."""
        watched, draws = watch(model, goal), Draws.of(rng, len(images))
        objective = Objective.of(goal, "ce" if goal.targeted else "margin")
        result, at = images.clone(), torch.arange(len(images), device=images.device)
        lowest, block = torch.full((len(images),), float("inf"), device=images.device), torch.empty(len(images), 0)
        eps = budget(self.eps, images, goal)
        state = SquareState(at, watched, objective, draws, images, eps, images, lowest, block.to(images.device))
        for query in range(self.queries):
            if query == 0:
                candidate = self._start(state.clean, state.eps, state.draws)
            else:
                drawn = (query - 1) % BLOCK
                if drawn == 0:
                    state.block = state.draws.uniform(BLOCK, 4 + 2 * images.shape[1]).to(images.device)
                side = self._side(query, images)
                candidate = self._change(state.clean, state.x, state.eps, state.block[:, drawn], side)
            hit, loss = ask(state.model, candidate, state.goal)
            better = hit | (loss < state.lowest)
            state.x = torch.where(lp.per_image(better), candidate, state.x)
            state.lowest = torch.where(better, loss, state.lowest)
            if hit.any():
                result[state.at[hit]] = state.x[hit]
                state = state[~hit]
                if not len(state.at):
                    break
        result[state.at] = state.x
        return result

    def _side(self, query: int, images: Images) -> int:
        """The side of the square at a query."""
        height, width = images.shape[2:]
        scaled = int(query / self.queries * 10_000)
        area = self.share / 2 ** sum(scaled > limit for limit in HALVINGS) * height * width
        return max(1, min(round(math.sqrt(area)), height, width))

    def _start(self, clean: Images, eps: PerImage, draws: Draws) -> Images:
        """Vertical stripes of plus or minus eps for linf; a chessboard of small bumps for l2 and l1."""
        channels, height, width = clean.shape[1:]
        if self.norm == "linf":
            stripes = draws.uniform(channels, 1, width).to(clean.device) < 0.5
            return (clean + lp.per_image(eps) * (1 - 2 * stripes.float())).clamp(0, 1)
        return Windows(self.norm, height, width).start(clean, eps, draws)

    def _change(self, clean: Images, x: Images, eps: PerImage, numbers: Tensor, side: int) -> Images:
        """`x` with the perturbation inside one square per image replaced; `numbers` are uniform draws."""
        channels, height, width = clean.shape[1:]
        if self.norm != "linf":
            return Windows(self.norm, height, width).change(clean, x, eps, numbers, max(side, 3))
        inside = square_at(numbers[:, 0], numbers[:, 1], side, (height, width))
        signs = 1 - 2 * (numbers[:, 4 : 4 + channels] < 0.5).float()
        fresh = clean + lp.per_image(eps) * signs[:, :, None, None]
        return torch.where(inside, fresh, x).clamp(0, 1)


@dataclass
class SquareState(Rows):
    """Where each image's search stands; `block` holds the numbers drawn ahead for its next squares."""

    at: Tensor
    model: Watched
    goal: Objective
    draws: Draws
    clean: Images
    eps: PerImage
    x: Images
    lowest: PerImage
    block: Tensor


def square_at(top: PerImage, left: PerImage, side: int, shape: tuple[int, int]) -> Tensor:
    """A mask (n, 1, h, w) of one square per image; `top` and `left` in [0, 1) say where among the places that fit."""
    height, width = shape
    row = (top * (height - side + 1)).long()[:, None]
    column = (left * (width - side + 1)).long()[:, None]
    rows = torch.arange(height, device=top.device)
    columns = torch.arange(width, device=top.device)
    in_rows = (rows >= row) & (rows < row + side)
    in_columns = (columns >= column) & (columns < column + side)
    return (in_rows[:, :, None] & in_columns[:, None, :])[:, None]
