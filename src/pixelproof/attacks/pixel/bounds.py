"""A lower bound of the margin when one pixel takes any colour of a box.

Forward, every value on the pixel's windows is an affine form in the colour (`relax.py`), so the dependence on the three
colour variables is exact and only relaxation errors are merged. Where that does not prove a rival class harmless, the
errors of all relaxations are carried to that rival's margin by the transpose of the relaxed network, which is linear:
the sum of |d margin / d value| * error, without merging anything on the way (a backward bound as in CROWN, Zhang et al.
2018, arXiv 1811.00866, on the forward pass's relaxations).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from pixelproof.attacks.pixel.incremental import Incremental, IncrementalScene
from pixelproof.attacks.pixel.linear import (
    Rounded,
    added,
    dense,
    offsets,
    opposite,
    shifted,
    sliced,
    taken,
    touched,
    unaverage,
    unconvolve,
    weighed,
    widened,
)
from pixelproof.attacks.pixel.ops import Add, Affine, Conv, Linear, Op, Pool, Relu, Step
from pixelproof.attacks.pixel.relax import GROWTH, SHORT, Form, Relaxed, larger, rectify, rounding
from pixelproof.attacks.pixel.subject import Margin, precise
from pixelproof.attacks.pixel.windows import Windows, convolve, lay, pool, widen

SYMBOLS = (96, 96)  # errors of the first rectifiers that are kept apart
OUTSIDE = -1e29  # below it a cell is not on the map
PROVEN = 1e-3  # margin (in logits) by which a box must be proven; see certificate.py
HOPE = 0.25  # a backward pass is tried where it needs to cut the error to no less than this share


@dataclass(frozen=True, eq=False)
class Trace:
    """What a forward pass of bounds leaves for the backward one."""

    relaxed: dict[tuple[int, int], Relaxed]
    rounded: dict[int, Rounded]
    tail: list[Relaxed | Rounded]
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
        rounded: dict[int, Rounded] = {}
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
                error = (inner.e + SHORT * inner.magnitude()) * op.scale.abs()
                forms[out] = inner.mapped(partial(torch.mul, other=op.scale), error)
            elif isinstance(op, Add):
                parts = [self._change(forms, whole, windows, part) for part in step.inputs]
                forms[out] = added(*(widened(part, windows.pads(at, k)) for k, part in enumerate(parts)))
            elif isinstance(op, Pool) and op.largest:
                inner = self._change(forms, whole, windows, source)
                forms[out] = self._maximum(inner, at, op, windows, relaxed)
                whole.add(out)
            else:
                assert isinstance(op, Pool)
                inner = self._change(forms, whole, windows, source)
                wide = widened(inner, windows.pads(at))
                error = pool(wide.e + SHORT * op.kernel[0] * op.kernel[1] * wide.magnitude(), op)
                forms[out] = wide.mapped(partial(pool, op=op), error)
            if not isinstance(op, Conv):
                rounded[at] = self._elementwise(forms, step, out)
        last = self._change(forms, whole, windows, self.margin.entry.source)
        return self._dense(last, relaxed, rounded)

    def _elementwise(self, forms: dict[int, Form], step: Step, out: int) -> Rounded:
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

    def _clean(self, step: Step, value: int) -> Tensor:
        """The clean values that a step reads, on the map only."""
        position = self.plan.steps.index(step)
        clean = self.windows.around(position) if isinstance(step.op, Pool) else self.windows.clean(value)
        return torch.where(clean < OUTSIDE, 0.0, clean)

    def _change(self, forms: dict[int, Form], whole: set[int], windows: Windows, value: int) -> Form:
        """A value's form as a change from the clean one."""
        if value in whole:
            clean = windows.clean(value)[0]
            x = forms[value].x.clone()
            x[0] -= clean
            forms[value] = replace(forms[value], x=x, e=forms[value].e + SHORT * (clean.abs() + x[:1].abs()))
            whole.discard(value)
        return forms[value]

    def _convolve(self, form: Form, at: int, op: Conv, pads: tuple[int, int, int, int]) -> tuple[Form, Rounded]:
        kernel = self.engine.kernel(at)
        gamma = rounding(kernel[0].numel())
        size = form.magnitude()
        error = torch.add(form.e * (1 + 2 * gamma), size[None], alpha=gamma)
        out = form.mapped(
            lambda values: convolve(values, kernel, op, pads), convolve(error, self.magnitudes[at], op, pads)
        )
        largest = (size + form.e[0]).flatten(1).amax(1)
        return out, Rounded(
            gamma * largest, self.magnitudes[at].sum((1, 2, 3)) * (1 + gamma), torch.zeros_like(largest)
        )

    @staticmethod
    def _maximum(form: Form, at: int, op: Pool, windows: Windows, relaxed: dict[tuple[int, int], Relaxed]) -> Form:
        """The maximum over windows as maxima of pairs, first along one axis and then along the other."""
        pads = windows.pads(at)
        ground = windows.around(at)
        x = torch.cat([lay(form.x[:1], ground, pads), widen(form.x[1:], pads)])
        inside = torch.where(ground < OUTSIDE, 0.0, ground).abs()
        form = replace(form, x=x, e=widen(form.e, pads) + SHORT * inside, planes=widen(form.planes, pads))
        count = 0
        for axis in (0, 1):
            cells = offsets(form.x.shape[2 + axis], op, axis)
            best = sliced(form, axis, cells[0])
            for cut in cells[1:]:
                best, relaxed[at, count] = larger(best, sliced(form, axis, cut))
                count += 1
            form = best
        return form

    def _dense(self, form: Form, relaxed: dict[tuple[int, int], Relaxed], rounded: dict[int, Rounded]) -> Trace:
        """The dense layers up to the margins."""
        down, across = self.cells
        x, e, planes = (part[:, :, down, across].flatten(2) for part in (form.x, form.e, form.planes))
        rows = replace(form, x=x, e=e, planes=planes)
        carried = rows.carried()
        entering = rows.e[0] if carried is None else rows.e[0] + carried
        rows, off = dense(rows, self.weight, self.weight_size)
        clean = self.scene.values[self.margin.entry.target]
        tail: list[Relaxed | Rounded]
        rows, tail = shifted(rows, clean), [touched(off, rows, clean)]
        for op in self.margin.ops:
            if isinstance(op, Relu):
                zero = torch.zeros(1)
                rows, how = rectify(rows, zero, zero, (0, 0))
                tail.append(how)
            else:
                assert isinstance(op, Linear)
                rows, off = dense(rows, op.weight, op.weight.abs())
                bias = torch.zeros(1) if op.bias is None else op.bias
                rows = shifted(rows, bias)
                tail.append(touched(off, rows, bias))
        gap = 4 * SHORT * rows.x.abs().sum(0)
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
            else:
                assert isinstance(op, Linear)
                error += (slope.abs() @ record.weight) * record.size[rows] + slope.abs().sum(1) * record.extra[rows]
                slope = slope @ op.weight
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
            off = trace.rounded[at]
            error += slope.abs().flatten(2).sum(2)[0] * off.extra[rows]
            if isinstance(op, Relu):
                how = trace.relaxed[at, 0]
                error += weighed(slope, how.error[rows])
                parts = [slope * how.keep[rows]]
            elif isinstance(op, Conv):
                error += (slope.abs().sum((0, 2, 3)) @ off.weight) * off.size[rows]
                parts = [unconvolve(slope, self.engine.kernel(at), op, windows.pads(at))] if step.inputs[0] else []
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
