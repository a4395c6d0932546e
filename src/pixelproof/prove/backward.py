"""The backward pass of a bound: every error carried to the margin of one rival, without merging any on the way.

The relaxed network is linear, so the margin deviates from the linear part by at most the sum of |d margin / d value| *
error over all values (as in CROWN, Zhang et al. 2018, arXiv 1811.00866, on the forward pass's relaxations). What
float32 does at a step is an error of that step too. It scales with all that a value can be, its merged error included,
and so covers the rounding of the slopes as well.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pixelproof.attacks.pixel.ops import Add, Affine, Conv, GraphStep, Linear, Op, Pool, Relu
from pixelproof.attacks.pixel.windows import widen
from pixelproof.prove.linear import Rounded, offsets, opposite, taken, unaverage, unconvolve, weighed
from pixelproof.prove.relax import OUTSIDE, SHORT, Form
from pixelproof.prove.site import Bent, Site, Trace

TRUST = 0.25  # share of a value's error that its line from below reckons with
SUMS = 1e-3  # allowance for the rounding of sums of positive numbers


class Backward:
    """The backward pass for one pixel: `bound(trace, rows, rivals, enough)`."""

    def __init__(self, site: Site) -> None:
        self.site, self.plan, self.windows, self.margin = site, site.plan, site.windows, site.margin

    def bound(self, trace: Trace, rows: Tensor, rivals: Tensor, enough: float) -> Tensor:
        """Lower bounds of the margins over `rivals` of boxes `rows`.

        Where the dense layers alone bring one above `enough`, that is where it stops.
        """
        linear, error, slope = self._dense(trace, rows, rivals)
        best = linear - (error + self._merged(trace, rows, slope)) * (1 + SUMS)
        left = (~(best > enough)).nonzero()[:, 0]
        if len(left):
            deep = (error[left] + self._windows(trace, rows[left], slope[left])) * (1 + SUMS)
            best[left] = best[left].maximum(linear[left] - deep)
        return best

    def _dense(self, trace: Trace, rows: Tensor, rivals: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The margin below by a line of the values before the dense layers: least linear part, error so far, slopes.

        From below a rectifier is bounded by z or by 0, whichever is larger at the colour where the margin is least,
        with TRUST of the value's error taken off; from above by the line through the ends.
        """
        slope = torch.zeros(len(rows), len(self.margin.rivals)).scatter_(1, rivals[:, None], 1.0)
        error = torch.zeros(len(rows))
        line = torch.cat([trace.margin[None], trace.generators])[:, rows, rivals].double()
        ops: list[Op] = [Linear(self.site.entry.exact, None), *self.margin.ops]
        for op, record in zip(reversed(ops), reversed(trace.tail), strict=True):
            if isinstance(record, Bent):
                x, how = record.x[:, rows], record.how
                keep, shift = how.keep[rows], how.shift[rows]
                worst = torch.cat([torch.ones_like(line[:1]), -line[1:].sign()]).float()
                least = (worst[:, :, None] * x).sum(0) - TRUST * record.error[rows]
                below = torch.where((keep > 0) & (keep < 1), (least > 0).float(), keep)
                after = slope * torch.where(slope > 0, below, keep)
                line += torch.einsum("rk,grk->gr", after.double() - slope.double() * keep, x.double())
                error += (slope.abs() * torch.where(slope > 0, shift, how.error[rows])).sum(1)
                slope = after
            else:
                assert isinstance(op, Linear)
                error += (slope.abs() @ record.weight) * record.size[rows] + slope.abs().sum(1) * record.extra[rows]
                slope = slope @ op.weight
        linear = (line[0] - line[1:].abs().sum(0)).float()
        return linear - SHORT * line.abs().sum(0).float(), error, slope

    @staticmethod
    def _merged(trace: Trace, rows: Tensor, slope: Tensor) -> Tensor:
        """The error of what the dense layers read, its symbols apart."""
        form = trace.entering
        error = (slope.abs() * form.e[0, rows]).sum(1)
        if len(form.planes):
            error += ((slope @ form.planes[:, 0].t()).abs() * form.sizes[rows]).sum(1)
        return error

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
            if at not in trace.rounded:
                trace.rounded[at] = self._elementwise(trace.forms, step, at + 1)
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

    def _elementwise(self, forms: dict[int, Form], step: GraphStep, out: int) -> Rounded:
        """Many times what rounding does in a step without weights: it scales with the values and the clean ones."""
        values = (*step.inputs, out) if isinstance(step.op, Pool) else (out,)
        largest = torch.zeros(1)
        for value in values:
            largest = largest + (forms[value].magnitude() + forms[value].e[0]).flatten(1).amax(1)
        for value in (*step.inputs, out):
            clean = self.windows.clean(value) if value == out else self._clean(step, value)
            largest = largest + clean.abs().max()
        terms = op.kernel[0] * op.kernel[1] if isinstance(op := step.op, Pool) else 1
        return Rounded(torch.zeros_like(largest), torch.zeros(1), 4 * SHORT * terms * largest)

    def _clean(self, step: GraphStep, value: int) -> Tensor:
        """The clean values that a step reads, on the map only."""
        position = self.plan.steps.index(step)
        clean = self.windows.around(position) if isinstance(step.op, Pool) else self.windows.clean(value)
        return torch.where(clean < OUTSIDE, 0.0, clean)

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
