"""The values of candidates on their windows: what every step does to a change."""

from __future__ import annotations

from typing import Protocol, TypeAlias, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor

from pixelproof.attacks.pixel.ops import Add, Affine, Conv, Pointwise, Pool, Relu
from pixelproof.attacks.pixel.plan import Plan

Sides: TypeAlias = tuple[int, int, int, int]  # left, right, above, below


@runtime_checkable
class Ground(Protocol):
    """Where the clean activations come from."""

    def frames(self, value: int, windows: PixelWindows, size: tuple[int, int], *, nowhere: bool, region: int) -> Tensor:
        """A value's clean activations on each pixel's window, or on a step's `region`: (p, 1, h, w, channels)."""
        ...

    def cover(self, value: int, windows: PixelWindows) -> Tensor | None:
        """Which cells of the windows lie on the map, as 0 and 1, to be multiplied with them; None when all do."""
        ...

    def kernel(self, position: int) -> Tensor:
        """A convolution's weight in channels-last layout."""
        ...


class PixelWindows:
    """The local values of candidates of one phase, each as (p, m, h, w, channels) on its own window.

    A value is held as its change or, after a rectifier or a maximum, whole; `delta` turns it into the change.
    """

    def __init__(self, plan: Plan, ground: Ground, positions: Tensor, change: Tensor) -> None:
        self.plan = plan
        self.ground = ground
        self.rows = positions // self.plan.size[1]
        self.columns = positions % self.plan.size[1]
        self.row, self.column = self.plan.tracks(int(positions[0]))
        self.values = {0: change[:, :, None, None]}
        self.whole: set[int] = set()
        self.clear = {0}  # values whose cells outside the map are known to be unchanged
        self.grounds: dict[tuple[int, bool, int], Tensor] = {}

    def size(self, value: int) -> tuple[int, int]:
        """Height and width of a value's window."""
        (top, bottom), (left, right) = self.row.spans[value], self.column.spans[value]
        return bottom - top + 1, right - left + 1

    def pads(self, position: int, source: int = 0) -> Sides:
        """How far a step reads around the window of one of its inputs: left, right, top, bottom."""
        return (*self.column.pads[position][source], *self.row.pads[position][source])

    def clean(self, value: int, *, nowhere: bool = False) -> Tensor:
        """A value's clean activations on the windows, (p, 1, h, w, channels)."""
        return self._ground(value, self.size(value), nowhere=nowhere, region=-1)

    def around(self, position: int) -> Tensor:
        """The clean activations that a step reads, (p, 1, h, w, channels), very negative outside the map."""
        spans = (self.row.regions[position], self.column.regions[position])
        height, width = (high - low + 1 for low, high in spans)
        source = self.plan.steps[position].inputs[0]
        return self._ground(source, (height, width), nowhere=True, region=position)

    def _ground(self, value: int, size: tuple[int, int], *, nowhere: bool, region: int) -> Tensor:
        key = (value, nowhere, region)
        if key not in self.grounds:
            self.grounds[key] = self.ground.frames(value, self, size, nowhere=nowhere, region=region)
        return self.grounds[key]

    def delta(self, value: int) -> Tensor:
        """A value's change, zero outside the map."""
        if value in self.whole:
            self.values[value] = self.values[value].sub_(self.clean(value))
            self.whole.discard(value)
        if value not in self.clear:
            inside = self.ground.cover(value, self)
            if inside is not None:
                self.values[value] = self.values[value].mul_(inside)
            self.clear.add(value)
        return self.values[value]

    def follow(self) -> None:
        """Compute every local value."""
        for position in self.plan.local:
            self._step(position)

    def _step(self, position: int) -> None:
        step = self.plan.steps[position]
        op, source, out = step.op, step.inputs[0], position + 1
        if isinstance(op, Conv):
            kernel = self.ground.kernel(position)
            self.values[out] = convolve(self.delta(source), kernel, op, self.pads(position))
        elif isinstance(op, Affine):
            self.values[out] = self.delta(source) * op.scale
            self.clear.add(out)
        elif isinstance(op, Add):
            left, right = (widen(self.delta(part), self.pads(position, k)) for k, part in enumerate(step.inputs))
            self.values[out] = left + right
            self.clear.add(out)
        elif isinstance(op, Pool) and not op.largest:
            self.values[out] = pool(widen(self.delta(source), self.pads(position)), op)
        elif isinstance(op, Pool):
            self.values[out] = pool(lay(self.delta(source), self.around(position), self.pads(position)), op)
            self.whole.add(out)
        elif isinstance(op, Relu) and source not in self.whole:
            self.values[out] = rectified(self.values[source], self.clean(source, nowhere=True))
            self.clear.add(out)
        else:
            assert isinstance(op, Relu | Pointwise)
            whole = source in self.whole
            self.values[out] = op.dense(self.values[source] if whole else self.values[source] + self.clean(source))
            self.whole.add(out)


def nchw(x: Tensor) -> Tensor:
    """Windows (p, m, h, w, c) as channels-last maps (p * m, c, h, w)."""
    return x.flatten(0, 1).permute(0, 3, 1, 2)


def nhwc(x: Tensor, like: Tensor) -> Tensor:
    """Channels-last maps (p * m, c, h, w) as windows, with `like`'s p and m."""
    return x.permute(0, 2, 3, 1).reshape(*like.shape[:2], *x.shape[2:], x.shape[1])


def widen(x: Tensor, pads: Sides) -> Tensor:
    """Windows with zeros added (or cells cut off, where negative) left, right, above and below."""
    left, right, top, bottom = pads
    if min(pads) < 0 and (max(-left, -right) > x.shape[3] or max(-top, -bottom) > x.shape[2]):
        # strides longer than their windows leave cells that nobody reads: add first, so that there is enough to cut
        x = F.pad(x, (0, 0, *(max(side, 0) for side in pads)))
        pads = (min(left, 0), min(right, 0), min(top, 0), min(bottom, 0))
    return F.pad(x, (0, 0, *pads)) if any(pads) else x


def lay(change: Tensor, ground: Tensor, pads: Sides) -> Tensor:
    """`change` added to the middle of the clean cells around it."""
    if min(pads) < 0:
        left, right, top, bottom = pads
        height, width = change.shape[2:4]
        change = change[:, :, max(-top, 0) : height - max(-bottom, 0), max(-left, 0) : width - max(-right, 0)]
        pads = (max(left, 0), max(right, 0), max(top, 0), max(bottom, 0))
    if not any(pads):
        whole: Tensor = change + ground
        return whole
    left, _, top, _ = pads
    height, width = change.shape[2:4]
    whole = ground.repeat(1, change.shape[1], 1, 1, 1)  # a copy even for one candidate: `ground` is kept
    whole[:, :, top : top + height, left : left + width] += change
    return whole


def rectified(change: Tensor, clean: Tensor) -> Tensor:
    """relu(clean + change) - relu(clean), as max(change, -clean) + min(clean, 0)."""
    return torch.maximum(change, -clean).add_(clean.clamp_max(0))


def pool(x: Tensor, op: Pool) -> Tensor:
    """A maximum or average over windows without further padding, along one axis after the other."""
    for axis in (2, 3):
        reach, stride, _ = op.window(axis - 2)
        last = x.shape[axis] - reach + 1
        offsets = [x[(slice(None),) * axis + (slice(start, start + last, stride),)] for start in range(reach)]
        x = offsets[0]
        for other in offsets[1:]:
            x = torch.maximum(x, other) if op.largest else x + other
    return x if op.largest else x / (op.kernel[0] * op.kernel[1])


def convolve(x: Tensor, kernel: Tensor, op: Conv, pads: Sides) -> Tensor:
    """A convolution without bias of windows, with zeros around them."""
    if x.shape[2:4] == (1, 1):
        unit = torch.eye(x.shape[4], dtype=x.dtype, device=x.device).view(1, x.shape[4], 1, 1, x.shape[4])
        unit = nchw(widen(unit, pads)).contiguous()
        spread = F.conv2d(unit, kernel, None, op.stride, 0, op.dilation, op.groups).permute(0, 2, 3, 1)
        return (x.flatten(2) @ spread.flatten(1)).view(*x.shape[:2], *spread.shape[1:])
    left, right, top, bottom = pads
    padding = (top, left)
    if left != right or top != bottom or min(pads) < 0:
        x, padding = widen(x, pads), (0, 0)
    return nhwc(F.conv2d(nchw(x), kernel, None, op.stride, padding, op.dilation, op.groups), x)
