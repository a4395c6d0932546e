"""Covers a pixel's colour cube with boxes until all are proven or one is refuted."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pixelproof.attacks.pixel.bounds import PROVEN, PixelBounds

BATCH = 96  # boxes bounded together
DEEPEST = 30  # halvings of the cube after which a pixel is left open
MOST_BOXES = 50_000  # boxes after which a pixel is left open


@dataclass(frozen=True, eq=False)
class Outcome:
    """What became of one pixel: proven or not, boxes bounded, and the centre of a box that is misclassified, if any."""

    proven: bool
    boxes: int
    witness: Tensor | None = None


class Cover:
    """Covers the colour cube with boxes, starting as finely as the pixels before needed."""

    def __init__(self, channels: int) -> None:
        self.channels = channels
        self.start = 0

    def prove(self, bounds: PixelBounds, position: int) -> Outcome:
        """Halves boxes until all are proven, one is refuted, or there are too many."""
        spot = bounds.at(position)
        low, high = grid(self.channels, self.start)
        boxes = 0
        shares: list[float] = []
        for _ in range(DEEPEST - self.start):
            parts = [spot.lower(low[at : at + BATCH], high[at : at + BATCH]) for at in range(0, len(low), BATCH)]
            boxes += len(low)
            failed = ~(torch.cat([bound for bound, _ in parts]) > PROVEN)  # a bound that is not a number proves nothing
            axis = torch.cat([side for _, side in parts])[failed]
            shares.append(1 - float(failed.float().mean()))
            low, high = low[failed], high[failed]
            if not len(low):
                self._learn(shares)
                return Outcome(True, boxes)
            middle = (low + high) / 2
            values = spot.exact(middle)
            if bool((values <= 0).any()):
                return Outcome(False, boxes, middle[values.argmin()])
            if boxes + 2 * len(low) > MOST_BOXES:
                break
            cut = torch.nn.functional.one_hot(axis, self.channels).bool()
            low, high = halved(low, high, middle, cut)
        return Outcome(False, boxes)

    def _learn(self, shares: list[float]) -> None:
        """Start finer when hardly a box passed at first, coarser when most did."""
        if shares[0] < 0.3 and len(shares) > 1:
            self.start += 1
        elif shares[0] > 0.6 and self.start:
            self.start -= 1


def grid(channels: int, halvings: int) -> tuple[Tensor, Tensor]:
    """Corners of the boxes of a cube halved so many times, one axis after the other; neighbours stay together."""
    low, high = torch.zeros(1, channels), torch.ones(1, channels)
    for halving in range(halvings):
        cut = torch.arange(channels) == halving % channels
        low, high = halved(low, high, (low + high) / 2, cut)
    return low, high


def halved(low: Tensor, high: Tensor, middle: Tensor, cut: Tensor) -> tuple[Tensor, Tensor]:
    """Both halves of every box, side by side: boxes that are bounded together share the slopes of their symbols."""
    lows = torch.stack([low, torch.where(cut, middle, low)], 1).flatten(0, 1)
    highs = torch.stack([torch.where(cut, middle, high), high], 1).flatten(0, 1)
    return lows, highs
