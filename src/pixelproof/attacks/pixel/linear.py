"""What the linear steps do to a form, with their rounding, and the transposes of the steps on windows."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from pixelproof.attacks.pixel.ops import Conv, Pool
from pixelproof.attacks.pixel.relax import GROWTH, SHORT, Form, rounding
from pixelproof.attacks.pixel.windows import Sides, nchw, nhwc, widen


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


def dense(form: Form, weight: Tensor, magnitude: Tensor) -> tuple[Form, Rounded]:
    """A dense layer without bias of rows."""
    gamma = rounding(weight.shape[1])
    size = form.magnitude()
    error = torch.add(form.e * (1 + 2 * gamma), size[None], alpha=gamma)
    out = form.mapped(lambda rows: rows @ weight.t(), error @ magnitude.t())
    largest = (size + form.e[0]).amax(1) if size.numel() else size.new_zeros(len(size))
    return out, Rounded(gamma * largest, magnitude.sum(1) * (1 + gamma), torch.zeros_like(largest))


def shifted(form: Form, by: Tensor) -> Form:
    """Rows plus a constant that is exact up to rounding."""
    x = form.x.clone()
    x[0] += by
    return replace(form, x=x, e=form.e + SHORT * (by.abs() + x[:1].abs()))


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
    return replace(form, x=x, e=e, planes=planes)


def widened(form: Form, pads: Sides) -> Form:
    """A form on windows with unchanged cells around them."""
    return replace(form, x=widen(form.x, pads), e=widen(form.e, pads), planes=widen(form.planes, pads))


def added(left: Form, right: Form) -> Form:
    """The sum of two forms; symbols that the two do not share are merged into the error of the one with fewer."""
    if len(left.made) < len(right.made):
        left, right = right, left
    x = left.x + right.x
    error = left.e + right.e + SHORT * (left.magnitude() + right.magnitude())
    if right.made != left.made[: len(right.made)]:
        carried = right.carried()
        error = error if carried is None else error + (1 + GROWTH) * carried
        return replace(left, x=x, e=error)
    planes = left.planes.clone()
    planes[: len(right.planes)] += right.planes
    return replace(left, x=x, e=error, planes=planes)


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
