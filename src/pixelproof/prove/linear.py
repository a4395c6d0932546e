"""What the linear steps do to a form, with their rounding, and the transposes of the steps on windows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor

from pixelproof.attacks.pixel.ops import Conv, Pool
from pixelproof.attacks.pixel.windows import Sides, convolve, nchw, nhwc, widen
from pixelproof.prove.relax import SHORT, Form, rounding
from pixelproof.prove.symbols import GROWTH


@dataclass(frozen=True, eq=False)
class Rounded:
    """The rounding at a step: at most size * weight + extra at every output, size and extra per box (n)."""

    size: Tensor
    weight: Tensor
    extra: Tensor


def unconvolve(slope: Tensor, kernel: Tensor, op: Conv, pads: Sides) -> Tensor:
    """The transpose of `convolve`."""
    wide = F.conv_transpose2d(nchw(slope), kernel, None, op.stride, 0, 0, op.groups, op.dilation)
    return widen(nhwc(wide, slope), opposite(pads))


@dataclass(frozen=True, eq=False)
class Weights:
    """A linear step's weights as they are, and absolute with an allowance for rounding, gamma times magnitudes."""

    exact: Tensor
    sizes: Tensor
    gamma: float

    @staticmethod
    def of(weight: Tensor) -> Weights:
        """Those of a dense layer (out, in) or a convolution (out, in, height, width).

        The backward pass multiplies by the transpose, whose sums have a term for every output and cell of the kernel:
        the longer sum decides.
        """
        gamma = rounding(max(weight.shape[:2]) * prod(weight.shape[2:]))
        return Weights(weight, weight.abs() * (1 + 3 * gamma), gamma)

    def charged(self, form: Form) -> Tensor:
        """The error of a form together with what rounding in the step amounts to at its inputs."""
        return torch.add(form.e, form.magnitude(), alpha=self.gamma)

    def off(self, form: Form) -> Rounded:
        """How far float32 may be from the step's answer."""
        flat = form.magnitude().flatten(1)
        if not flat.numel():
            return Rounded(flat.new_zeros(len(flat)), self.sizes.flatten(1).sum(1), flat.new_zeros(len(flat)))
        largest = 2 * self.gamma * (flat.amax(1) + form.e[0].flatten(1).amax(1))
        return Rounded(largest, self.sizes.flatten(1).sum(1), torch.zeros_like(largest))


def dense(form: Form, weights: Weights) -> tuple[Form, Rounded]:
    """A dense layer without bias of rows."""
    error = weights.charged(form) @ weights.sizes.t()
    return form.mapped(lambda rows: rows @ weights.exact.t(), error), weights.off(form)


def windowed(form: Form, weights: Weights, op: Conv, pads: Sides) -> tuple[Form, Rounded]:
    """A convolution without bias of windows."""
    error = convolve(weights.charged(form), weights.sizes, op, pads)
    return form.mapped(lambda values: convolve(values, weights.exact, op, pads), error), weights.off(form)


def shifted(form: Form, by: Tensor) -> Form:
    """Rows plus a constant that is exact up to rounding."""
    x = form.x.clone()
    x[0] += by
    return replace(form, x=x, e=form.e + SHORT * (by.abs() + x[:1].abs()), most=None)


def touched(off: Rounded, form: Form, by: Tensor) -> Rounded:
    """The rounding of a dense layer together with that of adding a constant to it."""
    largest = (form.magnitude() + form.e[0]).amax(1) + by.abs().max()
    return replace(off, extra=4 * SHORT * largest)


def offsets(extent: int, op: Pool, axis: int) -> list[slice]:
    """For each cell of a pooling window, the slice that holds it for every window along an axis."""
    reach, stride, _ = op.window(axis)
    last = extent - reach + 1
    return [slice(start, start + last, stride) for start in range(reach)]


def taken(x: Tensor, axis: int, cut: slice) -> Tensor:
    """Some rows (axis 0) or columns (axis 1) of windows."""
    return x[:, :, cut] if axis == 0 else x[:, :, :, cut]


def sliced(form: Form, axis: int, cut: slice) -> Form:
    """Some rows or columns of a form's windows."""
    x, e, planes = (taken(values, axis, cut) for values in (form.x, form.e, form.planes))
    return Form(x, e, planes, form.sizes, form.made)


def widened(form: Form, pads: Sides) -> Form:
    """A form on windows with unchanged cells around them."""
    if not any(pads):
        return form
    return Form(widen(form.x, pads), widen(form.e, pads), widen(form.planes, pads), form.sizes, form.made)


def added(left: Form, right: Form) -> Form:
    """The sum of two forms; symbols that the two do not share are merged into the error of the one with fewer."""
    if len(left.made) < len(right.made):
        left, right = right, left
    x = left.x + right.x
    error = left.e + right.e + SHORT * (left.magnitude() + right.magnitude())
    planes = left.planes
    if right.made != left.made[: len(right.made)]:
        carried = right.carried()
        error = error if carried is None else error + (1 + GROWTH) * carried
    else:
        planes = planes.clone()
        planes[: len(right.planes)] += right.planes
    return Form(x, error, planes, left.sizes, left.made)


def opposite(pads: Sides) -> Sides:
    """What undoes a widening."""
    left, right, top, bottom = pads
    return -left, -right, -top, -bottom


def weighed(slope: Tensor, error: Tensor) -> Tensor:
    """The sum of absolute slopes times errors, per box."""
    return (slope.abs() * error).flatten(2).sum(2)[0]


def unaverage(slope: Tensor, op: Pool) -> Tensor:
    """The transpose of an average pool without padding."""
    for axis in (0, 1):
        extent = (slope.shape[2 + axis] - 1) * op.stride[axis] + op.kernel[axis]
        shape = list(slope.shape)
        shape[2 + axis] = extent
        wide = slope.new_zeros(shape)
        for cut in offsets(extent, op, axis):
            taken(wide, axis, cut).add_(slope)
        slope = wide
    return slope / (op.kernel[0] * op.kernel[1])
