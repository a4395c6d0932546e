"""The forward pass of a bound: every value on the pixel's windows as an affine form in the colour (`relax.py`)."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from pixelproof.attacks.pixel.ops import Add, Affine, Conv, Linear, Pool, Relu
from pixelproof.attacks.pixel.windows import PixelWindows, pool, widen
from pixelproof.prove.linear import (
    Rounded,
    added,
    dense,
    offsets,
    shifted,
    sliced,
    taken,
    touched,
    widened,
    windowed,
)
from pixelproof.prove.relax import OUTSIDE, SHORT, Form, Relaxation, larger, rectify
from pixelproof.prove.site import Bent, Site, Trace
from pixelproof.prove.symbols import GROWTH


class Forward:
    """The forward pass for one pixel: `trace(low, high)` for a batch of colour boxes (n, channels)."""

    def __init__(self, site: Site) -> None:
        self.site, self.plan, self.windows, self.margin = site, site.plan, site.windows, site.margin

    def trace(self, low: Tensor, high: Tensor) -> Trace:
        """The forms of every value, down to the margins over all rivals."""
        plan, windows = self.plan, self.windows
        middle, half = (low + high) / 2 - self.site.colour, (high - low) / 2
        axes = torch.eye(low.shape[1])[:, None] * half[None]
        x = torch.cat([middle[None], axes])[:, :, None, None]
        forms = {0: Form(x, SHORT * x[:1].abs(), x[:0, :1], x.new_zeros(len(low), 0), ())}
        whole: set[int] = set()
        relaxed: dict[tuple[int, int], Relaxation] = {}
        rounded: dict[int, Rounded] = {}
        for at in plan.local:
            step = plan.steps[at]
            op, source, out = step.op, step.inputs[0], at + 1
            if isinstance(op, Relu):
                zero = torch.zeros(1)
                clean = zero if source in whole else windows.clean(source)[0]
                forms[out], relaxed[at, 0] = rectify(
                    forms[source], clean, windows.clean(out)[0], (at, self.site.symbols.get(at, 0))
                )
            elif isinstance(op, Conv):
                inner = self._change(forms, whole, windows, source)
                forms[out], rounded[at] = windowed(inner, self.site.weights[at], op, windows.pads(at))
            elif isinstance(op, Affine):
                inner = self._change(forms, whole, windows, source)
                error = (inner.e + SHORT * inner.magnitude()) * op.scale.abs()
                forms[out] = inner.mapped(partial(torch.mul, other=op.scale), error)
            elif isinstance(op, Add):
                parts = [self._change(forms, whole, windows, part) for part in step.inputs]
                forms[out] = added(*(widened(part, windows.pads(at, k)) for k, part in enumerate(parts)))
            elif isinstance(op, Pool) and op.largest:
                inner = self._change(forms, whole, windows, source)
                forms[out] = self._maximum(inner, at, op, relaxed)
                whole.add(out)
            else:
                assert isinstance(op, Pool)
                inner = self._change(forms, whole, windows, source)
                wide = widened(inner, windows.pads(at))
                error = pool(wide.e + SHORT * op.kernel[0] * op.kernel[1] * wide.magnitude(), op)
                forms[out] = wide.mapped(partial(pool, op=op), error)
        self._change(forms, whole, windows, self.margin.entry.source)
        return self._dense(forms, relaxed, rounded)

    def _change(self, forms: dict[int, Form], whole: set[int], windows: PixelWindows, value: int) -> Form:
        """A value's form as a change from the clean one."""
        if value in whole:
            clean = windows.clean(value)[0]
            x = forms[value].x.clone()
            x[0] -= clean
            error = forms[value].e + SHORT * (clean.abs() + x[:1].abs())
            forms[value] = replace(forms[value], x=x, e=error, most=None)
            whole.discard(value)
        return forms[value]

    def _maximum(self, form: Form, at: int, op: Pool, relaxed: dict[tuple[int, int], Relaxation]) -> Form:
        """The maximum over windows as maxima of pairs, first along one axis and then along the other."""
        pads = self.windows.pads(at)
        ground = self.windows.around(at)
        x = widen(form.x, pads) if any(pads) else form.x.clone()
        x[0] += ground[0]
        beyond = ground < OUTSIDE
        inside, outside = torch.where(beyond, 0.0, ground).abs(), bool(beyond.any())
        form = Form(x, widen(form.e, pads) + SHORT * inside, widen(form.planes, pads), form.sizes, form.made)
        top = form.top() if at in self.site.rectified else None
        count = 0
        for axis in (0, 1):
            cells = offsets(form.x.shape[2 + axis], op, axis)
            best, highest = sliced(form, axis, cells[0]), None if top is None else taken(top[None], axis, cells[0])[0]
            for cut in cells[1:]:
                other = None if top is None else taken(top[None], axis, cut)[0]
                tops = None if highest is None or other is None else (highest, other)
                best, relaxed[at, count] = larger(best, sliced(form, axis, cut), tops, outside=outside)
                highest = None if tops is None else torch.maximum(*tops)
                count += 1
            form, top = best, highest
        return form

    def _dense(
        self, forms: dict[int, Form], relaxed: dict[tuple[int, int], Relaxation], rounded: dict[int, Rounded]
    ) -> Trace:
        """The dense layers up to the margins."""
        form = forms[self.margin.entry.source]
        down, across = self.site.cells
        x, e, planes = (part[:, :, down, across].flatten(2) for part in (form.x, form.e, form.planes))
        most, carried = (
            None if part is None else part[:, down, across].flatten(1) for part in (form.most, form.carrying)
        )
        entering = Form(x, e, planes, form.sizes, form.made, most, carried)
        rows, off = dense(entering, self.site.entry)
        clean = self.site.scene.values[self.margin.entry.target]
        tail: list[Bent | Rounded]
        rows, tail = shifted(rows, clean), [touched(off, rows, clean)]
        for op, weights in zip(self.margin.ops, self.margin.weights, strict=True):
            if weights is None:
                zero = torch.zeros(1)
                before, known = rows, rows.carried()
                rows = replace(rows, carrying=known)
                rows, how = rectify(rows, zero, zero, (0, 0))
                tail.append(Bent(before.x, before.e[0] if known is None else before.e[0] + (1 + GROWTH) * known, how))
            else:
                assert isinstance(op, Linear)
                rows, off = dense(rows, weights)
                bias = torch.zeros(1) if op.bias is None else op.bias
                rows = shifted(rows, bias)
                tail.append(touched(off, rows, bias))
        gap = 4 * SHORT * rows.x.abs().sum(0)
        carried = rows.carried()
        error = rows.e[0] if carried is None else rows.e[0] + (1 + GROWTH) * carried
        return Trace(forms, relaxed, rounded, tail, rows.x[0] - gap, rows.x[1:], error, entering)
