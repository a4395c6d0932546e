"""A lower bound of the margin when one pixel takes any colour of a box.

Forward, every value on the pixel's windows is an affine form in the colour (`relax.py`), so the dependence on the three
colour variables is exact and only relaxation errors are merged. Where that does not prove a rival class harmless, the
errors of all relaxations are carried to that rival's margin by the transpose of the relaxed network, which is linear:
the sum of |d margin / d value| * error, without merging anything on the way (a backward bound as in CROWN, Zhang et al.
2018, arXiv 1811.00866, on the forward pass's relaxations).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from pixelproof.attacks.pixel.incremental import Incremental, IncrementalScene
from pixelproof.attacks.pixel.ops import Add, Affine, Conv, Linear, Op, Pool, Relu, Step, run
from pixelproof.attacks.pixel.plan import Plan
from pixelproof.attacks.pixel.relax import GROWTH, SHORT, Form, Relaxed, larger, rectify, rounding
from pixelproof.attacks.pixel.windows import Windows, convolve, lay, nchw, nhwc, pool, widen

SYMBOLS = (96, 96)  # errors of the first rectifiers that are kept apart
PROVEN = 1e-3  # margin (in logits) by which a box must be proven; see certificate.py
HOPE = 0.25  # a backward pass is tried where it needs to cut the error to no less than this share


@dataclass(frozen=True, eq=False)
class _Rounded:
    """The rounding of a linear step: `size` (n) bounds its inputs, `weight` the absolute weights into each output."""

    size: Tensor
    weight: Tensor


def unsupported(plan: Plan) -> list[str]:
    """Names of the steps that no bound is implemented for; empty when the whole network can be bounded."""
    names = [
        plan.steps[at].name for at in plan.local if not isinstance(plan.steps[at].op, Conv | Pool | Affine | Relu | Add)
    ]
    names += [plan.steps[at].name for at in plan.tail if not isinstance(plan.steps[at].op, Affine | Relu | Linear)]
    if [entry.kind for entry in plan.entries] != ["linear"]:
        names.append("a hand-over to the dense layers other than flatten and linear")
    return names


def precise(steps: Sequence[Step], image: Tensor) -> list[Tensor]:
    """The clean activations computed in float64 and rounded once."""
    double = [replace(step, op=_double(step.op)) for step in steps]
    with torch.no_grad():
        return [value.float() for value in run(double, image.double())]


def _double(op: Op) -> Op:
    if isinstance(op, Conv | Linear):
        return replace(op, weight=op.weight.double(), bias=None if op.bias is None else op.bias.double())
    if isinstance(op, Affine):
        return replace(op, scale=op.scale.double(), shift=op.shift.double())
    return op


class Margin:
    """The part of a network after its last window: dense layers, ending in the differences label - rival."""

    def __init__(self, plan: Plan, label: int) -> None:
        self.plan = plan
        self.entry = plan.entries[0]
        self.label = label
        ops = [plan.steps[position].op for position in plan.tail]
        classes = plan.shapes[-1][1]
        self.rivals = [rival for rival in range(classes) if rival != label]
        unit = torch.eye(classes, dtype=torch.float64)
        difference = unit[label] - unit[self.rivals]
        last = ops.pop() if ops and isinstance(ops[-1], Linear) else None
        weight = difference if last is None else difference @ last.weight.double()  # type: ignore[union-attr]
        bias = torch.zeros(len(self.rivals), dtype=torch.float64)
        if isinstance(last, Linear) and last.bias is not None:
            bias = difference @ last.bias.double()
        self.ops: list[Op] = [*ops, Linear(weight.float(), bias.float())]


@dataclass(frozen=True, eq=False)
class Trace:
    """What a forward pass of bounds leaves for the backward one."""

    relaxed: dict[tuple[int, int], Relaxed]
    rounded: dict[int, _Rounded]
    tail: list[Relaxed | _Rounded | Tensor]
    margin: Tensor
    generators: Tensor
    error: Tensor
    entering: Tensor


class PixelBounds:
    """Bounds for one image and label: `at(position)` gives those of one pixel."""

    def __init__(self, engine: Incremental, image: Tensor, label: int) -> None:
        self.engine = engine
        self.plan = engine.plan
        self.scene = IncrementalScene(engine, precise(self.plan.steps, image[None]))
        self.margin = Margin(self.plan, label)
        self.pixels = image.flatten(1).t()
        first = [at for at in self.plan.local if isinstance(self.plan.steps[at].op, Relu)]
        self.symbols = dict(zip(first, SYMBOLS, strict=False))
        self.magnitudes = {
            at: engine.kernel(at).abs() for at in self.plan.local if isinstance(self.plan.steps[at].op, Conv)
        }

    def at(self, position: int) -> Spot:
        """The bounds of one pixel (row * width + column)."""
        return Spot(self, position)


class Spot:
    """Bounds for one pixel of one image: `lower(low, high)` gives them for a batch of colour boxes."""

    def __init__(self, bounds: PixelBounds, position: int) -> None:
        self.engine, self.plan, self.scene, self.margin = bounds.engine, bounds.plan, bounds.scene, bounds.margin
        self.magnitudes = bounds.magnitudes
        self.symbols = bounds.symbols
        self.colour = bounds.pixels[position]
        self.windows = Windows(self.plan, self.scene, torch.tensor([position]), self.colour[None, None])
        entry = self.margin.entry
        part = self.plan.reached(entry.source, position)
        corner = [track.spans[entry.source][0] for track in self.plan.tracks(position)]
        self.cells = tuple(slice(part[2 * k] - corner[k], part[2 * k + 1] - corner[k]) for k in range(2))
        self.weight = self.engine.columns(entry, part)
        self.weight_size = self.weight.abs()

    def lower(self, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        """Lower bounds (n) of the margin over colour boxes (n, channels), and the channel to split each box in."""
        with torch.no_grad():
            trace = self._forward(low, high)
            linear = trace.margin - trace.generators.abs().sum(0)
            bound = linear - trace.error
            hopeless = (linear < PROVEN + HOPE * trace.error).any(1)
            for share in (1, len(self.margin.rivals)):
                tried = bound.argsort(dim=1)[:, :share]
                mask = torch.zeros_like(bound, dtype=torch.bool).scatter_(1, tried, True)
                rows, rivals = (mask & (bound <= PROVEN) & ~hopeless[:, None]).nonzero(as_tuple=True)
                if not len(rows):
                    break
                error = self._backward(trace, rows, rivals, linear[rows, rivals] - PROVEN)
                bound[rows, rivals] = torch.maximum(bound[rows, rivals], linear[rows, rivals] - error)
                hopeless[rows[bound[rows, rivals] <= PROVEN]] = True
            worst, rival = bound.min(1)
            sides = trace.generators[:, torch.arange(len(low)), rival].abs()
            widest = (high - low).t() * (1 + sides / sides.sum(0).clamp_min(1e-12))
            return worst, widest.argmax(0)

    def exact(self, colours: Tensor) -> Tensor:
        """The margin for single colours (n, channels), up to rounding."""
        position = int(self.windows.rows[0]) * self.plan.size[1] + int(self.windows.columns[0])
        logits = self.scene.logits(torch.tensor([position]), colours[None])[0]
        others = logits[:, self.margin.rivals].amax(1)
        return logits[:, self.margin.label] - others

    def _forward(self, low: Tensor, high: Tensor) -> Trace:
        plan, windows = self.plan, self.windows
        middle, half = (low + high) / 2 - self.colour, (high - low) / 2
        axes = torch.eye(low.shape[1])[:, None] * half[None]
        x = torch.cat([middle[None], axes])[:, :, None, None]
        forms = {0: Form(x, SHORT * x[:1].abs(), x[:0, :1], x.new_zeros(len(low), 0), ())}
        whole: set[int] = set()
        relaxed: dict[tuple[int, int], Relaxed] = {}
        rounded: dict[int, _Rounded] = {}
        for at in plan.local:
            step = plan.steps[at]
            op, source, out = step.op, step.inputs[0], at + 1
            if isinstance(op, Relu):
                zero = torch.zeros(1)
                clean = zero if source in whole else windows.clean(source)[0]
                forms[out], relaxed[at, 0] = rectify(
                    forms[source], clean, windows.clean(out)[0], (at, self.symbols.get(at, 0))
                )
            elif isinstance(op, Conv):
                inner = self._change(forms, whole, windows, source)
                forms[out], rounded[at] = self._convolve(inner, at, op, windows.pads(at))
            elif isinstance(op, Affine):
                inner = self._change(forms, whole, windows, source)
                size = (inner.x * op.scale).abs().sum(0, keepdim=True)
                forms[out] = inner.mapped(partial(torch.mul, other=op.scale), inner.e * op.scale.abs() + SHORT * size)
            elif isinstance(op, Add):
                parts = [self._change(forms, whole, windows, part) for part in step.inputs]
                forms[out] = _sum(*(_widened(part, windows.pads(at, k)) for k, part in enumerate(parts)))
            elif isinstance(op, Pool) and op.largest:
                inner = self._change(forms, whole, windows, source)
                forms[out] = self._maximum(inner, at, op, windows, relaxed)
                whole.add(out)
            else:
                assert isinstance(op, Pool)
                inner = self._change(forms, whole, windows, source)
                wide = _widened(inner, windows.pads(at))
                size = wide.x.abs().sum(0, keepdim=True)
                error = pool(wide.e + SHORT * op.kernel[0] * op.kernel[1] * size, op)
                forms[out] = wide.mapped(partial(pool, op=op), error)
        last = self._change(forms, whole, windows, self.margin.entry.source)
        return self._dense(last, relaxed, rounded)

    def _change(self, forms: dict[int, Form], whole: set[int], windows: Windows, value: int) -> Form:
        """A value's form as a change from the clean one."""
        if value in whole:
            clean = windows.clean(value)[0]
            x = forms[value].x.clone()
            x[0] -= clean
            forms[value] = replace(forms[value], x=x, e=forms[value].e + SHORT * (clean.abs() + x[:1].abs()))
            whole.discard(value)
        return forms[value]

    def _convolve(self, form: Form, at: int, op: Conv, pads: tuple[int, int, int, int]) -> tuple[Form, _Rounded]:
        kernel = self.engine.kernel(at)
        gamma = rounding(kernel[0].numel())
        size = form.x[0].abs() + form.spread()
        error = torch.add(form.e * (1 + 2 * gamma), size[None], alpha=gamma)
        out = form.mapped(
            lambda values: convolve(values, kernel, op, pads), convolve(error, self.magnitudes[at], op, pads)
        )
        largest = size.flatten(1).amax(1) if len(size) else size.new_zeros(0)
        return out, _Rounded(gamma * largest, self.magnitudes[at].sum((1, 2, 3)) * (1 + gamma))

    @staticmethod
    def _maximum(form: Form, at: int, op: Pool, windows: Windows, relaxed: dict[tuple[int, int], Relaxed]) -> Form:
        """The maximum over windows as maxima of pairs, first along one axis and then along the other."""
        pads = windows.pads(at)
        ground = windows.around(at)
        x = torch.cat([lay(form.x[:1], ground, pads), widen(form.x[1:], pads)])
        inside = torch.where(ground.abs() < 1e29, ground.abs(), 0.0)
        form = replace(form, x=x, e=widen(form.e, pads) + SHORT * inside, planes=widen(form.planes, pads))
        count = 0
        for axis in (0, 1):
            cells = _offsets(form.x.shape[2 + axis], op, axis)
            best = _cut(form, axis, cells[0])
            for cut in cells[1:]:
                best, relaxed[at, count] = larger(best, _cut(form, axis, cut))
                count += 1
            form = best
        return form

    def _dense(self, form: Form, relaxed: dict[tuple[int, int], Relaxed], rounded: dict[int, _Rounded]) -> Trace:
        """The dense layers up to the margins."""
        down, across = self.cells
        x, e, planes = (part[:, :, down, across].flatten(2) for part in (form.x, form.e, form.planes))
        rows = replace(form, x=x, e=e, planes=planes)
        carried = rows.carried()
        entering = rows.e[0] if carried is None else rows.e[0] + carried
        rows, off = _linear(rows, self.weight, self.weight_size)
        clean = self.scene.values[self.margin.entry.target]
        tail: list[Relaxed | _Rounded | Tensor] = [off]
        x = rows.x
        x[0] += clean
        rows = replace(rows, x=x, e=rows.e + SHORT * (clean.abs() + x[:1].abs()))
        for op in self.margin.ops:
            if isinstance(op, Relu):
                zero = torch.zeros(1)
                rows, how = rectify(rows, zero, zero, (0, 0))
                tail.append(how)
            elif isinstance(op, Linear):
                rows, off = _linear(rows, op.weight, op.weight.abs())
                if op.bias is not None:
                    rows.x[0] += op.bias
                    rows = replace(rows, e=rows.e + SHORT * (op.bias.abs() + rows.x[:1].abs()))
                tail.append(off)
            else:
                assert isinstance(op, Affine)
                size = (rows.x * op.scale).abs().sum(0, keepdim=True) + op.shift.abs()
                rows = rows.mapped(partial(torch.mul, other=op.scale), rows.e * op.scale.abs() + 2 * SHORT * size)
                rows.x[0] += op.shift
                tail.append(op.scale)
        gap = SHORT * rows.x.abs().sum(0)
        carried = rows.carried()
        error = rows.e[0] if carried is None else rows.e[0] + (1 + GROWTH) * carried
        return Trace(relaxed, rounded, tail, rows.x[0] - gap, rows.x[1:], error, entering)

    def _backward(self, trace: Trace, rows: Tensor, rivals: Tensor, enough: Tensor) -> Tensor:
        """The error of every relaxation and rounding, carried to the margin over `rivals` of boxes `rows`.

        Where carrying it through the dense layers alone brings it below `enough`, that is where it stops.
        """
        slope = torch.zeros(len(rows), len(self.margin.rivals)).scatter_(1, rivals[:, None], 1.0)
        error = torch.zeros(len(rows))
        ops: list[Op] = [Linear(self.weight, None), *self.margin.ops]
        for op, record in zip(reversed(ops), reversed(trace.tail), strict=True):
            if isinstance(record, Relaxed):
                error += (slope.abs() * record.error[rows]).sum(1)
                slope = slope * record.keep[rows]
            elif isinstance(record, _Rounded):
                assert isinstance(op, Linear)
                error += (slope.abs() @ record.weight) * record.size[rows]
                slope = slope @ op.weight
            else:
                slope = slope * record
        merged = (error + (slope.abs() * trace.entering[rows]).sum(1)) * (1 + GROWTH)
        more = (merged >= enough).nonzero()[:, 0]
        if len(more):
            deep = (error[more] + self._backward_windows(trace, rows[more], slope[more])) * (1 + GROWTH)
            merged[more] = merged[more].minimum(deep)
        return merged

    def _backward_windows(self, trace: Trace, rows: Tensor, slope: Tensor) -> Tensor:
        """The part of the error that arises on the windows."""
        plan, windows = self.plan, self.windows
        source = self.margin.entry.source
        height, width = windows.size(source)
        last = slope.new_zeros(1, len(rows), height, width, plan.shapes[source][1])
        down, across = self.cells
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
            if isinstance(op, Relu):
                how = trace.relaxed[at, 0]
                error += _weighed(slope, how.error[rows])
                parts = [slope * how.keep[rows]]
            elif isinstance(op, Conv):
                off = trace.rounded[at]
                error += (slope.abs().sum((0, 2, 3)) @ off.weight) * off.size[rows]
                parts = [unconvolve(slope, self.engine.kernel(at), op, windows.pads(at))] if step.inputs[0] else []
            elif isinstance(op, Affine):
                parts = [slope * op.scale]
            elif isinstance(op, Add):
                parts = [widen(slope, _opposite(windows.pads(at, k))) for k in range(2)]
            elif isinstance(op, Pool) and op.largest:
                part, added = self._unmaximum(slope, at, op, trace, rows)
                error += added
                parts = [part]
            else:
                assert isinstance(op, Pool)
                parts = [widen(_unaverage(slope, op), _opposite(windows.pads(at)))]
            for value, part in zip(step.inputs, parts, strict=False):
                slopes[value] = slopes[value] + part if value in slopes else part
        return error

    def _unmaximum(self, slope: Tensor, at: int, op: Pool, trace: Trace, rows: Tensor) -> tuple[Tensor, Tensor]:
        error = torch.zeros(len(rows))
        folds = [op.kernel[0] - 1, op.kernel[1] - 1]
        count = sum(folds)
        for axis in (1, 0):
            extent = (slope.shape[2 + axis] - 1) * op.stride[axis] + op.kernel[axis]
            cells = _offsets(extent, op, axis)
            shape = list(slope.shape)
            shape[2 + axis] = extent
            wide = slope.new_zeros(shape)
            for cut in reversed(cells[1:]):
                count -= 1
                how = trace.relaxed[at, count]
                error += _weighed(slope, how.error[rows])
                keep = how.keep[rows]
                _slice(wide, axis, cut).add_(slope * (1 - keep))
                slope = slope * keep
            _slice(wide, axis, cells[0]).add_(slope)
            slope = wide
        return widen(slope, _opposite(self.windows.pads(at))), error


def unconvolve(slope: Tensor, kernel: Tensor, op: Conv, pads: tuple[int, int, int, int]) -> Tensor:
    """The transpose of `convolve`."""
    wide = F.conv_transpose2d(nchw(slope), kernel, None, op.stride, 0, 0, op.groups, op.dilation)
    return widen(nhwc(wide, slope), _opposite(pads))


def _linear(form: Form, weight: Tensor, magnitude: Tensor) -> tuple[Form, _Rounded]:
    """A dense layer without bias of rows."""
    gamma = rounding(weight.shape[1])
    size = form.x[0].abs() + form.spread()
    error = torch.add(form.e * (1 + 2 * gamma), size[None], alpha=gamma)
    out = form.mapped(lambda rows: rows @ weight.t(), error @ magnitude.t())
    largest = size.amax(1) if size.numel() else size.new_zeros(len(size))
    return out, _Rounded(gamma * largest, magnitude.sum(1) * (1 + gamma))


def _offsets(extent: int, op: Pool, axis: int) -> list[slice]:
    """For each cell of a pooling window, the slice that holds it for every window along an axis."""
    reach, stride, _ = op.window(axis)
    last = extent - reach + 1
    return [slice(start, start + last, stride) for start in range(reach)]


def _slice(x: Tensor, axis: int, cut: slice) -> Tensor:
    return x[:, :, cut] if axis == 0 else x[:, :, :, cut]


def _cut(form: Form, axis: int, cut: slice) -> Form:
    x, e, planes = (_slice(part, axis, cut) for part in (form.x, form.e, form.planes))
    return replace(form, x=x, e=e, planes=planes)


def _widened(form: Form, pads: tuple[int, int, int, int]) -> Form:
    return replace(form, x=widen(form.x, pads), e=widen(form.e, pads), planes=widen(form.planes, pads))


def _sum(left: Form, right: Form) -> Form:
    """The sum of two forms; symbols that the two do not share are merged into the error of the one with fewer."""
    if len(left.made) < len(right.made):
        left, right = right, left
    x = left.x + right.x
    error = left.e + right.e + SHORT * x.abs().sum(0, keepdim=True)
    if right.made != left.made[: len(right.made)]:
        carried = right.carried()
        error = error if carried is None else error + (1 + GROWTH) * carried
        return replace(left, x=x, e=error)
    planes = left.planes.clone()
    planes[: len(right.planes)] += right.planes
    return replace(left, x=x, e=error, planes=planes)


def _opposite(pads: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    left, right, top, bottom = pads
    return -left, -right, -top, -bottom


def _weighed(slope: Tensor, error: Tensor) -> Tensor:
    return (slope.abs() * error).flatten(2).sum(2)[0]


def _unaverage(slope: Tensor, op: Pool) -> Tensor:
    """The transpose of an average pool without padding."""
    for axis in (0, 1):
        extent = (slope.shape[2 + axis] - 1) * op.stride[axis] + op.kernel[axis]
        shape = list(slope.shape)
        shape[2 + axis] = extent
        wide = slope.new_zeros(shape)
        for cut in _offsets(extent, op, axis):
            _slice(wide, axis, cut).add_(slope)
        slope = wide
    return slope / (op.kernel[0] * op.kernel[1])
