"""The forward pass of a bound: every value on the pixel's windows as an affine form in the colour (`relax.py`)."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from pixelproof.attacks.pixel.linear import (
    Rounded,
    added,
    dense,
    offsets,
    shifted,
    sliced,
    touched,
    widened,
)
from pixelproof.attacks.pixel.ops import Add, Affine, Conv, Linear, Pool, Relu, Step
from pixelproof.attacks.pixel.relax import GROWTH, SHORT, Form, Relaxed, larger, rectify, rounding
from pixelproof.attacks.pixel.site import Site, Trace
from pixelproof.attacks.pixel.windows import Windows, convolve, lay, pool, widen

OUTSIDE = -1e29  # below it a cell is not on the map


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
        relaxed: dict[tuple[int, int], Relaxed] = {}
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
        kernel = self.site.engine.kernel(at)
        gamma = rounding(kernel[0].numel())
        size = form.magnitude()
        error = torch.add(form.e * (1 + 2 * gamma), size[None], alpha=gamma)
        out = form.mapped(
            lambda values: convolve(values, kernel, op, pads), convolve(error, self.site.magnitudes[at], op, pads)
        )
        largest = (size + form.e[0]).flatten(1).amax(1)
        return out, Rounded(
            gamma * largest, self.site.magnitudes[at].sum((1, 2, 3)) * (1 + gamma), torch.zeros_like(largest)
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
        down, across = self.site.cells
        x, e, planes = (part[:, :, down, across].flatten(2) for part in (form.x, form.e, form.planes))
        rows = replace(form, x=x, e=e, planes=planes)
        known = form.carried()
        carried = None if known is None else known[:, down, across].flatten(1)
        rows = rows if carried is None else rows.knowing(carried)
        entering = rows.e[0] if carried is None else rows.e[0] + carried
        rows, off = dense(rows, self.site.weight, self.site.weight_size)
        clean = self.site.scene.values[self.margin.entry.target]
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
