"""Covers a pixel's colour cube with boxes until all are proven or one is refuted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from pixelproof.prove.bounds import PROVEN, PixelBounds

BATCH = 96  # boxes bounded together
WHOLE = 144  # boxes that are not worth two batches
FLATTEST = 2.0**-10  # width of a box that is not halved again: the pixel is left open
MOST_BOXES = 50_000  # boxes after which a pixel is left open
FAR = (6.0, 40.0)  # a strain above the first is answered with two halvings at once, above the second with three
EASY = 0.8  # two halves with less strain than this are one box at the next pixel
KEPT = 256  # pixels whose boxes are remembered
FINEST = 10  # halvings of each side that the order of boxes tells apart


@dataclass(frozen=True, eq=False)
class Covered:
    """What became of one pixel: proven or not, boxes bounded, and the centre of a box that is misclassified, if any."""

    proven: bool
    boxes: int
    witness: Tensor | None = None


class Cover:
    """Covers the colour cubes of an image's pixels, each starting with the boxes that a near one needed."""

    def __init__(self, channels: int, width: int) -> None:
        self.channels, self.width = channels, width
        self.used: dict[int, tuple[Tensor, Tensor]] = {}

    def prove(self, bounds: PixelBounds, position: int, over: Callable[[], bool] = lambda: False) -> Covered:
        """Halves boxes until all are proven, one is refuted, there are too many, or the time is `over`."""
        spot = bounds.at(position)
        low, high = self._start(position)
        done = []
        boxes = 0
        while len(low):
            if boxes + len(low) > MOST_BOXES or (boxes and over()):
                return Covered(False, boxes)
            count = len(low) if len(low) <= WHOLE else BATCH
            (near, low), (far, high) = ((part[:count], part[count:]) for part in (low, high))
            found = spot.lower(near, far)
            boxes += count
            failed = ~(found.bound > PROVEN)  # a bound that is not a number proves nothing
            done.append((near[~failed], far[~failed], found.strain[~failed]))
            near, far, strain, axis = near[failed], far[failed], found.strain[failed], found.axis[failed]
            if not len(near):
                continue
            middle = (near + far) / 2
            values = spot.exact(middle)
            if bool((values <= 0).any()):
                return Covered(False, boxes, middle[values.argmin()])
            if float((far - near).amin()) < FLATTEST:
                return Covered(False, boxes)
            for least in (0.0, *FAR):
                near, far, strain, axis = halved(near, far, strain, axis, strain > least)
            low, high = torch.cat([near, low]), torch.cat([far, high])  # beside their neighbours, which are next
        self.used[position] = merged(*(torch.cat(parts) for parts in zip(*done, strict=True)))
        if len(self.used) > KEPT:
            del self.used[next(iter(self.used))]
        return Covered(True, boxes)

    def _start(self, position: int) -> tuple[Tensor, Tensor]:
        """The boxes of the nearest pixel that was proven, eighths of the cube at first."""
        if not self.used:
            return grid(self.channels, 3)
        row, column = divmod(position, self.width)
        nearest = min(self.used, key=lambda at: abs(at // self.width - row) + abs(at % self.width - column))
        return self.used[nearest]


def halved(low: Tensor, high: Tensor, strain: Tensor, axis: Tensor, which: Tensor) -> tuple[Tensor, ...]:
    """Boxes of which some are halved, both halves side by side: boxes bounded together share their symbols' slopes.

    `strain` goes with both halves, and the axis to halve next is the widest.
    """
    cut = torch.nn.functional.one_hot(axis, low.shape[1]).bool()
    middle = (low + high) / 2
    lows = torch.stack([low, torch.where(cut, middle, low)], 1)
    highs = torch.stack([torch.where(cut & which[:, None], middle, high), high], 1)
    kept = torch.stack([torch.ones_like(which), which], 1).flatten()
    low, high = lows.flatten(0, 1)[kept], highs.flatten(0, 1)[kept]
    strain, axis, cut_now = (each.repeat_interleave(2)[kept] for each in (strain, axis, which))
    return low, high, strain, torch.where(cut_now, (high - low).argmax(1), axis)


def merged(low: Tensor, high: Tensor, strain: Tensor) -> tuple[Tensor, Tensor]:
    """Boxes in an order that keeps neighbours together, two easy halves of a box made one."""
    order = ordered((low + high) / 2)
    low, high, easy = low[order], high[order], strain[order] < EASY
    size = high - low
    differs = low[1:] != low[:-1]
    halves = (size[1:] == size[:-1]).all(1) & (differs.sum(1) == 1) & easy[1:] & easy[:-1]
    halves &= ((low[1:] == high[:-1]) | ~differs).all(1)
    halves &= ((low[:-1] / (2 * size[:-1]) % 1 == 0) | ~differs).all(1)
    kept = torch.ones(len(low), dtype=torch.bool)
    last = -2
    for at in halves.nonzero()[:, 0].tolist():
        if at > last + 1:
            high[at] = high[at + 1]
            kept[at + 1] = False
            last = at
    return low[kept], high[kept]


def ordered(points: Tensor) -> Tensor:
    """The order of points of the cube along a curve that fills it (Z-order)."""
    cells = (points * 2**FINEST).long()
    code = torch.zeros(len(points), dtype=torch.long)
    for bit in reversed(range(FINEST)):
        for axis in range(points.shape[1]):
            code = 2 * code + (cells[:, axis] >> bit & 1)
    return code.argsort()


def grid(channels: int, halvings: int) -> tuple[Tensor, Tensor]:
    """Corners of the boxes of a cube halved so many times, one axis after the other; neighbours stay together."""
    low, high = torch.zeros(1, channels), torch.ones(1, channels)
    for halving in range(halvings):
        axis = torch.full((len(low),), halving % channels)
        every = torch.ones(len(low), dtype=torch.bool)
        low, high, *_ = halved(low, high, torch.zeros(len(low)), axis, every)
    return low, high
