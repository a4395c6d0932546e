"""Affine bounds over a box of colours: forms, and the relaxations of the rectifier and the maximum.

A form bounds values v(t) for t in [-1, 1]^g (g colour axes): v(t) = x[0] + sum_k t_k x[k] + r, |r| <= e. Linear maps
act on x exactly and on e by their absolute values. A rectifier becomes lambda v + mu with a new error mu (DeepZ, Singh
et al. 2018, NeurIPS), and max(a, b) becomes b + the rectifier of a - b.

Rounding. Every float32 result is taken as the *definition* of the new form, and the error of computing it is added to
e: a dot product of N terms, in any order, with or without fused operations, is off by at most N u / (1 - N u) times the
sum of the absolute products, u = 2^-24 (Higham 2002, section 3.1); a short chain of elementwise operations is off by a
few u times the magnitudes involved, for which SHORT = 8 u stands here. What a rectifier does to a centre is at most a
few u times its own size, its clean value's and its result's; linear steps before and after it are charged 32 terms more
than they have, which pays for that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pixelproof.prove.symbols import GROWTH, TINY, followed, summed

UNIT = 2.0**-24
SHORT = 8 * UNIT
OUTSIDE = -1e29  # below it a cell is not on the map


def rounding(terms: int) -> float:
    """The relative error of a float32 dot product of so many terms (32 more are allowed for what surrounds it)."""
    total = (terms + 32) * UNIT
    return total / (1 - total)


@dataclass(frozen=True, eq=False)
class Form:
    """Affine forms of n boxes: `x` (1 + g, n, ...) centre and generators, `e` (1, n, ...) the error of every value.

    Errors made early are kept apart as symbols, so that they are not merged with others on the way: `planes`
    (symbols, 1, ...) says how a symbol reaches every value, the same for all boxes, and `sizes` (n, symbols) how large
    it is in each box. Where a box's own slopes differ from the shared ones, the difference is an error of its own.

    `most` and `carrying` (n, ...), where known, are what `magnitude` and `carried` give.
    """

    x: Tensor
    e: Tensor
    planes: Tensor
    sizes: Tensor
    made: tuple[int, ...]
    most: Tensor | None = None
    carrying: Tensor | None = None

    def spread(self) -> Tensor:
        """Largest distance of the linear part from the centre (a new tensor)."""
        total = self.x[1].abs()
        for k in range(2, len(self.x)):
            total.add_(self.x[k].abs())
        return total

    def carried(self) -> Tensor | None:
        """Largest sum of all symbols at every value (n, ...), up to a relative GROWTH; None without symbols."""
        if not len(self.planes) or self.carrying is not None:
            return self.carrying
        return summed(self.sizes, self.planes)

    def top(self) -> Tensor:
        """Upper bounds of the values (n, ...)."""
        radius = self.spread().add_(self.e[0])
        carried = self.carried()
        if carried is not None:
            radius.add_(carried, alpha=1 + GROWTH)
        return self.x[0] + radius.mul_(1 + SHORT).add_(SHORT * self.x[0].abs())

    def magnitude(self) -> Tensor:
        """An upper bound of every value without its merged error (n, ...): what the rounding of a sum scales with."""
        if self.most is not None:
            return self.most
        size = self.x[0].abs().add_(self.spread())
        if not len(self.planes):
            return size
        largest = self.planes.abs().amax(0)
        return size.add_(self.sizes.sum(1).view(-1, *(1,) * (largest.ndim - 1)) * largest)

    def mapped(self, linear: Callable[[Tensor], Tensor], error: Tensor) -> Form:
        """The form after a linear map, whose effect on the error is given."""
        x = linear(self.x)
        planes = linear(self.planes) if len(self.planes) else x.new_zeros(0, 1, *x.shape[2:])
        return Form(x, error, planes, self.sizes, self.made)


@dataclass(frozen=True, eq=False)
class Relaxation:
    """How a rectifier was relaxed: slope `keep` in [0, 1], shift of the centre, and the error it added.

    `most` bounds the relaxed value's linear part, symbols and old error together.
    """

    keep: Tensor
    shift: Tensor
    error: Tensor
    most: Tensor


def relax(centre: Tensor, radius: Tensor) -> Relaxation:
    """The DeepZ relaxation of the rectifier on [centre - radius, centre + radius].

    With l and u the ends: keep = u / (u - l) and shift = error = max(keep * -l, (1 - keep) u) / 2 where l < 0 < u; the
    identity or zero elsewhere. Rounding moves an end by a few units of |centre| + radius, which matters only where
    |centre| is hardly more than the radius: so the error is raised by 2 SHORT radius.
    """
    above = (centre + radius).clamp_min_(0)
    below = (radius - centre).clamp_min_(0)
    keep = above / torch.add(above, below).clamp_min_(TINY)
    shift = below.mul_(keep).mul_(0.5)
    return Relaxation(keep, shift, torch.add(shift, radius, alpha=2 * SHORT), torch.addcmul(shift, keep, above))


def rectify(form: Form, clean: Tensor, after: Tensor, symbols: tuple[int, int]) -> tuple[Form, Relaxation]:
    """relu(clean + form) - after as a form, and how the rectifier was relaxed; the constants are exact up to rounding.

    A change is rectified with its clean value and the rectified clean value as constants, a whole value with zeros.
    `symbols` is (name of this step, how many of its largest errors become symbols).
    """
    centre = form.x[0] + clean
    carried = form.carried()
    radius = form.spread().add_(form.e[0])
    how = relax(centre, radius if carried is None else radius.add_(carried, alpha=1 + GROWTH))
    x = torch.empty_like(form.x)
    torch.mul(form.x[1:], how.keep, out=x[1:])
    torch.addcmul(how.shift - after, centre, how.keep, out=x[0])
    error = (form.e * how.keep).add_(how.error)
    planes, carried, error = followed(form.planes, how.keep, carried, error)
    most = how.most + after
    if carried is not None:
        most.add_(carried)  # the symbols follow shared slopes, which may be steeper than the box's own
    return _kept_apart(Form(x, error, planes, form.sizes, form.made, most, carried), symbols), how


def larger(
    left: Form, right: Form, tops: tuple[Tensor, Tensor] | None = None, *, outside: bool = True
) -> tuple[Form, Relaxation]:
    """The elementwise maximum of two forms, and how the rectifier of their difference was relaxed.

    Where all that follows is a rectifier, `tops` are upper bounds of both (n, ...): a side that is below zero cannot
    matter, and the other is taken as it is. A cell outside the map has a centre of -1e30; its weight is then exactly 0,
    so it leaves no trace; where there is none, `outside` may be false.
    """
    difference = replace(left, x=left.x - right.x, planes=left.planes - right.planes)
    carried = difference.carried()
    radius = difference.spread().add_(left.e[0]).add_(right.e[0])
    how = relax(difference.x[0], radius if carried is None else radius.add_(carried, alpha=1 + GROWTH))
    if tops is not None:
        how = _settled(how, *(top.sign().clamp_min_(0) for top in tops))
    x = torch.lerp(right.x, left.x, how.keep)
    x[0] += how.shift
    error = torch.add(how.error, x[0].abs(), alpha=SHORT)
    if outside:
        error = torch.where(x[0] < OUTSIDE, 0.0, error)
    planes, _, merged = followed(
        difference.planes, how.keep, carried, torch.lerp(right.e, left.e, how.keep).add_(error)
    )
    planes = planes.add_(right.planes) if len(planes) else planes
    return Form(x, merged, planes, left.sizes, left.made), replace(how, error=error)


def _settled(how: Relaxation, left: Tensor, right: Tensor) -> Relaxation:
    """The relaxation of a maximum of which only the sides marked by 1 can matter."""
    both = left * right
    return Relaxation((how.keep - 1).mul_(right).add_(1).mul_(left), how.shift * both, how.error * both, how.most)


def _kept_apart(form: Form, symbols: tuple[int, int]) -> Form:
    """The form with the largest parts of its error made symbols."""
    name, count = symbols
    if not count:
        return form
    flat = form.e[0].flatten(1)
    chosen = flat.sum(0).topk(min(count, flat.shape[1])).indices
    fresh = flat.new_zeros(len(chosen), flat.shape[1])
    fresh[torch.arange(len(chosen)), chosen] = 1.0
    planes = torch.cat([form.planes, fresh.view(-1, 1, *form.x.shape[2:])])
    apart = flat[:, chosen]
    carrying = torch.zeros_like(flat) if form.carrying is None else form.carrying.flatten(1).clone()
    carrying[:, chosen] += apart
    most = None if form.most is None else form.most.flatten(1).index_add(1, chosen, apart).view(form.e.shape[1:])
    rest = flat.index_fill(1, chosen, 0.0).view(form.e.shape)
    sizes = torch.cat([form.sizes, apart], 1)
    return Form(form.x, rest, planes, sizes, (*form.made, name), most, carrying.view(form.e.shape[1:]))
