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

from dataclasses import dataclass

import torch
from torch import Tensor

UNIT = 2.0**-24
SHORT = 8 * UNIT
TINY = 1e-30


def rounding(terms: int) -> float:
    """The relative error of a float32 dot product of so many terms (sixteen more are allowed for what surrounds it)."""
    total = (terms + 16) * UNIT
    return total / (1 - total)


@dataclass(frozen=True, eq=False)
class Form:
    """An affine form: `x` (1 + g, n, ...) holds the centre and the generators, `e` (1, n, ...) the error."""

    x: Tensor
    e: Tensor

    def spread(self) -> Tensor:
        """Largest distance of the linear part from the centre."""
        total = self.x[1].abs()
        for k in range(2, len(self.x)):
            total += self.x[k].abs()
        return total


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


def rectify(form: Form, clean: Tensor, after: Tensor) -> tuple[Form, Relaxed]:
    """relu(clean + form) - after as a form, and how the rectifier was relaxed; the constants are exact up to rounding.

    A change is rectified with its clean value and the rectified clean value as constants, a whole value with zeros.
    """
    centre = form.x[0] + clean
    error = form.e + SHORT * clean.abs()
    how = relax(centre, form.spread() + error[0])
    x = form.x * how.keep
    torch.addcmul(how.shift - after, centre, how.keep, out=x[0])
    return Form(x, (error * how.keep).add_(how.error).add_(SHORT * after)), how


def larger(left: Form, right: Form) -> tuple[Form, Relaxed]:
    """The elementwise maximum of two forms, and how the rectifier of their difference was relaxed.

    A cell outside the map has a centre of -1e30; its weight is then exactly 0, so it leaves no trace.
    """
    difference = left.x - right.x
    how = relax(difference[0], Form(difference, left.e).spread() + left.e[0] + right.e[0])
    rest = 1 - how.keep
    x = left.x * how.keep + right.x * rest
    size = x[0].abs() + how.shift
    x[0] += how.shift
    both = (left.x[0].abs() * how.keep).maximum(right.x[0].abs() * rest)
    error = torch.where(how.shift > 0, how.error, how.shift) + SHORT * (size + both)
    return Form(x, left.e * how.keep + right.e * rest + error), Relaxed(how.keep, how.shift, error)
