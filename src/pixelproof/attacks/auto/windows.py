"""Square's moves in l2 and l1: a bump grows in one window with the budget that another window gives up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from pixelproof import lp
from pixelproof.draws import Draws
from pixelproof.types import Images, Mask, PerImage

TILE = 5  # side of the starting bumps is height / TILE


@dataclass(frozen=True)
class Windows:
    """Moves on images of `height` x `width` (Andriushchenko et al. 2020, section 3.3; l1: Croce & Hein 2021)."""

    norm: Literal["l2", "l1"]
    height: int
    width: int

    def start(self, clean: Images, eps: PerImage, draws: Draws) -> Images:
        """Bumps of random sign on a grid that fills the image, scaled to the budget."""
        side = max(1, self.height // TILE)
        bump = _twin(side).to(clean.device)
        rows, columns = -(-self.height // side), -(-self.width // side)
        signs = 1 - 2 * (draws.uniform(clean.shape[1], rows, columns).to(clean.device) < 0.5).float()
        tiled = bump.repeat(rows, columns) * signs.repeat_interleave(side, 2).repeat_interleave(side, 3)
        delta = tiled[:, :, : self.height, : self.width]
        delta = delta * lp.per_image(eps / lp.norm(delta, self.norm).clamp_min(lp.TINY))
        return lp.confine(clean, clean + delta, eps, self.norm)

    def change(self, clean: Images, x: Images, eps: PerImage, numbers: Tensor, side: int) -> Images:
        """One window emptied, another given its budget, what was unused, and its own, in the shape of a bump."""
        side = min(side, self.height, self.width)
        delta = x - clean
        channels = clean.shape[1]
        turned = numbers[:, 4 + channels] < 0.5
        taken = self._place(numbers[:, 0], numbers[:, 1], side, turned)
        given = self._place(numbers[:, 2], numbers[:, 3], side, turned)
        signs = 1 - 2 * (numbers[:, 4 : 4 + channels] < 0.5).float()
        power = 2 if self.norm == "l2" else 1
        rest = torch.where((taken != 0) | (given != 0), 0, delta)
        free = (eps**power - lp.norm(rest, self.norm) ** power).clamp_min(0)
        shaped = given * signs[:, :, None, None]
        old = torch.where(given != 0, delta, 0)
        shaped = shaped + old / lp.per_image(lp.norm(old, self.norm).clamp_min(lp.TINY))
        room = free ** (1 / power) / lp.norm(shaped, self.norm).clamp_min(lp.TINY)
        return lp.confine(clean, clean + rest + shaped * lp.per_image(room), eps, self.norm)

    def _place(self, top: PerImage, left: PerImage, side: int, turned: Mask) -> Tensor:
        """Two bumps of opposite sign and unit size at one place per image, zero elsewhere, (n, 1, h, w)."""
        row = (top * (self.height - side + 1)).long()
        column = (left * (self.width - side + 1)).long()
        canvas = torch.zeros(len(top), 1, self.height, self.width, device=top.device)
        span = torch.arange(side, device=top.device)
        where = (row[:, None, None] + span[:, None]) * self.width + column[:, None, None] + span
        bump = _twin(side).to(top.device)
        values = torch.where(turned[:, None], bump.T.flatten(), bump.flatten())
        return canvas.flatten(1).scatter(1, where.flatten(1), values).view_as(canvas)


def _twin(side: int) -> Tensor:
    """A bump above its negative, of unit size: the upper and the lower half of a square."""
    upper = side // 2
    pair = torch.cat([_bump(upper, side), -_bump(side - upper, side)]) if upper else _bump(1, side)
    unit: Tensor = pair / torch.linalg.vector_norm(pair)
    return unit


def _bump(height: int, width: int) -> Tensor:
    """Values that rise towards the middle: sums of 1 / (k + 1)^2 over the centred rectangles around a point."""
    rows = torch.minimum(torch.arange(height), torch.arange(height).flip(0))
    columns = torch.minimum(torch.arange(width), torch.arange(width).flip(0))
    depth = torch.minimum(rows[:, None], columns[None, :])
    layers = int(depth.max()) + 1
    gains = torch.cumsum(1 / (layers - torch.arange(layers).float()) ** 2, 0)
    return gains[depth]
