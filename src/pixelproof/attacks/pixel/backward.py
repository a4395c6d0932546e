"""The backward pass of a bound: every error carried to the margin of one rival, without merging any on the way.

The relaxed network is linear, so the margin deviates from the linear part by at most the sum of |d margin / d value| *
error over all values (as in CROWN, Zhang et al. 2018, arXiv 1811.00866, on the forward pass's relaxations). What
float32 does at a step is an error of that step too. It scales with all that a value can be, its merged error included,
and so covers the rounding of the slopes as well.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pixelproof.attacks.pixel.linear import offsets, opposite, taken, unaverage, unconvolve, weighed
from pixelproof.attacks.pixel.ops import Add, Affine, Conv, Linear, Op, Pool, Relu
from pixelproof.attacks.pixel.relax import GROWTH, Relaxed
from pixelproof.attacks.pixel.site import Site, Trace
from pixelproof.attacks.pixel.windows import widen


class Backward:
    """The backward pass for one pixel: `error(trace, rows, rivals, enough)`."""

    def __init__(self, site: Site) -> None:
        self.site, self.plan, self.windows, self.margin = site, site.plan, site.windows, site.margin

    def error(self, trace: Trace, rows: Tensor, rivals: Tensor, enough: Tensor) -> Tensor:
        """The error of every relaxation and rounding, carried to the margin over `rivals` of boxes `rows`.

        Where carrying it through the dense layers alone brings it below `enough`, that is where it stops.
        """
        slope = torch.zeros(len(rows), len(self.margin.rivals)).scatter_(1, rivals[:, None], 1.0)
        error = torch.zeros(len(rows))
        ops: list[Op] = [Linear(self.site.weight, None), *self.margin.ops]
        for op, record in zip(reversed(ops), reversed(trace.tail), strict=True):
            if isinstance(record, Relaxed):
                error += (slope.abs() * record.error[rows]).sum(1)
                slope = slope * record.keep[rows]
            else:
                assert isinstance(op, Linear)
                error += (slope.abs() @ record.weight) * record.size[rows] + slope.abs().sum(1) * record.extra[rows]
                slope = slope @ op.weight
        merged = (error + (slope.abs() * trace.entering[rows]).sum(1)) * (1 + GROWTH)
        more = (merged >= enough).nonzero()[:, 0]
        if len(more):
            deep = (error[more] + self._windows(trace, rows[more], slope[more])) * (1 + GROWTH)
            merged[more] = merged[more].minimum(deep)
        return merged

    def _windows(self, trace: Trace, rows: Tensor, slope: Tensor) -> Tensor:
        """The part of the error that arises on the windows."""
        plan, windows = self.plan, self.windows
        source = self.margin.entry.source
        height, width = windows.size(source)
        last = slope.new_zeros(1, len(rows), height, width, plan.shapes[source][1])
        down, across = self.site.cells
        cells = last[:, :, down, across]
        last[:, :, down, across] = slope.view(cells.shape)
        slopes = {source: last}
        error = torch.zeros(len(rows))
        for at in reversed(plan.local):
            step = plan.steps[at]
            op = step.op
            if at + 1 not in slopes:
                continue
            slope = slopes.pop(at + 1)
            off = trace.rounded[at]
            error += slope.abs().flatten(2).sum(2)[0] * off.extra[rows]
            if isinstance(op, Relu):
                how = trace.relaxed[at, 0]
                error += weighed(slope, how.error[rows])
                parts = [slope * how.keep[rows]]
            elif isinstance(op, Conv):
                error += (slope.abs().sum((0, 2, 3)) @ off.weight) * off.size[rows]
                parts = [unconvolve(slope, self.site.engine.kernel(at), op, windows.pads(at))] if step.inputs[0] else []
            elif isinstance(op, Affine):
                parts = [slope * op.scale]
            elif isinstance(op, Add):
                parts = [widen(slope, opposite(windows.pads(at, k))) for k in range(2)]
            elif isinstance(op, Pool) and op.largest:
                part, added = self._unmaximum(slope, at, op, trace, rows)
                error += added
                parts = [part]
            else:
                assert isinstance(op, Pool)
                parts = [widen(unaverage(slope, op), opposite(windows.pads(at)))]
            for value, part in zip(step.inputs, parts, strict=False):
                slopes[value] = slopes[value] + part if value in slopes else part
        return error

    def _unmaximum(self, slope: Tensor, at: int, op: Pool, trace: Trace, rows: Tensor) -> tuple[Tensor, Tensor]:
        error = torch.zeros(len(rows))
        folds = [op.kernel[0] - 1, op.kernel[1] - 1]
        count = sum(folds)
        for axis in (1, 0):
            extent = (slope.shape[2 + axis] - 1) * op.stride[axis] + op.kernel[axis]
            cells = offsets(extent, op, axis)
            shape = list(slope.shape)
            shape[2 + axis] = extent
            wide = slope.new_zeros(shape)
            for cut in reversed(cells[1:]):
                count -= 1
                how = trace.relaxed[at, count]
                error += weighed(slope, how.error[rows])
                keep = how.keep[rows]
                taken(wide, axis, cut).add_(slope * (1 - keep))
                slope = slope * keep
            taken(wide, axis, cells[0]).add_(slope)
            slope = wide
        return widen(slope, opposite(self.windows.pads(at))), error
