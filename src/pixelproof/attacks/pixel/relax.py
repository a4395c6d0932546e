"""Affine bounds over a box of colours: forms, and the relaxations of the rectifier and the maximum.

A form bounds values v(t) for t in [-1, 1]^g (g colour axes): v(t) = x[0] + sum_k t_k x[k] + r, |r| <= e. Linear maps
act on x exactly and on e by their absolute values. A rectifier becomes lambda v + mu with a new error mu (DeepZ, Singh
et al. 2018, NeurIPS), and max(a, b) becomes b + the rectifier of a - b.

Rounding. Every float32 result is taken as the *definition* of the new form, and the error of computing it is added to
e: a dot product of N terms, in any order, with or without fused operations, is off by at most N u / (1 - N u) times the
sum of the absolute products, u = 2^-24 (Higham 2002, section 3.1); a short chain of elementwise operations is off by a
few u times the magnitudes involved, for which SHORT = 8 u stands here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

UNIT = 2.0**-24
SHORT = 8 * UNIT
TINY = 1e-30
GROWTH = 1e-3  # allowance for the rounding of everything that concerns symbols, relative to their sum


def rounding(terms: int) -> float:
    """The relative error of a float32 dot product of so many terms (sixteen more are allowed for what surrounds it)."""
    total = (terms + 16) * UNIT
    return total / (1 - total)


@dataclass(frozen=True, eq=False)
class Form:
    """Affine forms of n boxes: `x` (1 + g, n, ...) centre and generators, `e` (1, n, ...) the error of every value.

    Errors made early are kept apart as symbols, so that they are not merged with others on the way: `planes`
    (symbols, 1, ...) says how a symbol reaches every value, the same for all boxes, and `sizes` (n, symbols) how large
    it is in each box. Where a box's own slopes differ from the shared ones, the difference is an error of its own.
    """

    x: Tensor
    e: Tensor
    planes: Tensor
    sizes: Tensor
    made: tuple[int, ...]

    def spread(self) -> Tensor:
        """Largest distance of the linear part from the centre."""
        return self._spread

    def carried(self) -> Tensor | None:
        """Largest sum of all symbols at every value (n, ...); None without symbols."""
        return self._carried

    def ceiling(self) -> Tensor | None:
        """A cheap upper bound of `carried` (n, ...), for what is multiplied by the unit of rounding."""
        if not len(self.planes) or "_carried" in self.__dict__:
            return self.carried()
        largest = self.planes.abs().amax(0)
        return self.sizes.sum(1).view(-1, *(1,) * (largest.ndim - 1)) * largest

    @cached_property
    def _spread(self) -> Tensor:
        total = self.x[1].abs()
        for k in range(2, len(self.x)):
            total += self.x[k].abs()
        return total

    @cached_property
    def _carried(self) -> Tensor | None:
        if not len(self.planes):
            return None
        return (self.sizes @ self.planes.abs().flatten(1)).view(self.e.shape[1:])

    def knowing(self, carried: Tensor) -> Form:
        """This form, told what `carried` would work out (up to a relative GROWTH, which its users allow)."""
        self.__dict__["_carried"] = carried
        return self

    def magnitude(self) -> Tensor:
        """An upper bound of every value without its merged error (n, ...): what the rounding of a sum scales with."""
        carried = self.ceiling()
        size = self.x[0].abs() + self.spread()
        return size if carried is None else size + carried

    def mapped(self, linear: Callable[[Tensor], Tensor], error: Tensor) -> Form:
        """The form after a linear map, whose effect on the error is given."""
        x = linear(self.x)
        planes = linear(self.planes) if len(self.planes) else x.new_zeros(0, 1, *x.shape[2:])
        return Form(x, error, planes, self.sizes, self.made)


@dataclass(frozen=True, eq=False)
class Relaxed:
    """How a rectifier was relaxed: slope `keep` in [0, 1], shift of the centre, and the error it added."""

    keep: Tensor
    shift: Tensor
    error: Tensor


def relax(centre: Tensor, radius: Tensor) -> Relaxed:
    """The DeepZ relaxation of the rectifier on [centre - radius, centre + radius].

    With l and u the ends: keep = u / (u - l) and shift = error = max(keep * -l, (1 - keep) u) / 2 where l < 0 < u; the
    identity or zero elsewhere. The ends are widened, and the error raised, by what rounding can do.
    """
    radius = torch.add(radius * (1 + SHORT), centre.abs(), alpha=SHORT)
    above = (centre + radius).clamp_min_(0)
    below = (radius - centre).clamp_min_(0)
    width = above + below
    keep = above / width.clamp_min(TINY)
    shift = (keep * below).mul_(0.5)
    return Relaxed(keep, shift, torch.add(shift, above, alpha=SHORT))


def rectify(form: Form, clean: Tensor, after: Tensor, symbols: tuple[int, int]) -> tuple[Form, Relaxed]:
    """relu(clean + form) - after as a form, and how the rectifier was relaxed; the constants are exact up to rounding.

    A change is rectified with its clean value and the rectified clean value as constants, a whole value with zeros.
    `symbols` is (name of this step, how many of its largest errors become symbols).
    """
    centre = form.x[0] + clean
    error = form.e + SHORT * clean.abs()
    carried = form.carried()
    radius = form.spread() + error[0]
    how = relax(centre, radius if carried is None else radius.add_(carried, alpha=1 + GROWTH))
    x = form.x * how.keep
    torch.addcmul(how.shift - after, centre, how.keep, out=x[0])
    kept = (error * how.keep).add_(SHORT * after)
    form, error = _follow(Form(x, kept, form.planes, form.sizes, form.made), (how.keep, carried), how.error)
    return _kept_apart(form, error, symbols), how


def larger(left: Form, right: Form) -> tuple[Form, Relaxed]:
    """The elementwise maximum of two forms, and how the rectifier of their difference was relaxed.

    A cell outside the map has a centre of -1e30; its weight is then exactly 0, so it leaves no trace.
    """
    difference = replace(left, x=left.x - right.x, planes=left.planes - right.planes)
    carried = difference.carried()
    radius = difference.spread() + left.e[0] + right.e[0]
    how = relax(difference.x[0], radius if carried is None else radius.add_(carried, alpha=1 + GROWTH))
    rest = 1 - how.keep
    x = left.x * how.keep + right.x * rest
    both = (left.x[0].abs() * how.keep).maximum(right.x[0].abs() * rest)
    error = torch.where(how.shift > 0, how.error, how.shift) + SHORT * (x[0].abs() + how.shift + both)
    x[0] += how.shift
    kept = left.e * how.keep + right.e * rest
    ground = right.ceiling()
    if ground is not None:
        error = error + SHORT * ground
    form, merged = _follow(Form(x, kept, difference.planes, left.sizes, left.made), (how.keep, carried), error)
    relaxed = Relaxed(how.keep, how.shift, error)
    return replace(form, e=kept + merged, planes=form.planes + right.planes), relaxed


def _follow(form: Form, slopes: tuple[Tensor, Tensor | None], error: Tensor) -> tuple[Form, Tensor]:
    """The form with symbols that follow one slope for all boxes, and the error with what differs from it.

    Any slope is sound; the mean, weighted by what is carried, keeps the difference small where it matters.
    """
    keep, carried = slopes
    if carried is None:
        return form, error
    shared = ((keep * carried).sum(0) / carried.sum(0).clamp_min(TINY)).clamp_(0, 1)
    apart = (keep - shared).abs().mul_(carried).add_(carried, alpha=GROWTH)
    return replace(form, planes=form.planes * shared).knowing(carried * shared), error + apart


def _kept_apart(form: Form, error: Tensor, symbols: tuple[int, int]) -> Form:
    """The form with a new error, of which the largest parts become symbols and the rest is merged."""
    name, count = symbols
    carried = form.carried()
    if not count:
        merged = replace(form, e=form.e + error)
        return merged if carried is None else merged.knowing(carried)
    error = form.e[0] + error
    flat = error.flatten(1)
    chosen = flat.sum(0).topk(min(count, flat.shape[1])).indices
    fresh = form.x.new_zeros(len(chosen), flat.shape[1])
    fresh[torch.arange(len(chosen)), chosen] = 1.0
    planes = torch.cat([form.planes, fresh.view(-1, 1, *form.x.shape[2:])])
    rest = flat.index_fill(1, chosen, 0.0).view(error.shape)
    apart = flat[:, chosen]
    total = torch.zeros_like(flat) if carried is None else carried.flatten(1).clone()
    total[:, chosen] += apart
    sizes = torch.cat([form.sizes, apart], 1)
    return Form(form.x, rest[None], planes, sizes, (*form.made, name)).knowing(total.view(error.shape))
