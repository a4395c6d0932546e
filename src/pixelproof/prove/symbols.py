"""Symbols: errors that are carried through the network apart from others, along slopes that a batch of boxes shares."""

from __future__ import annotations

from torch import Tensor

GROWTH = 1e-3  # allowance for the rounding of everything that concerns symbols, relative to their sum
TINY = 1e-30


def summed(sizes: Tensor, planes: Tensor) -> Tensor:
    """The sum of all symbols' sizes (n, symbols) times absolute planes (symbols, 1, ...), up to a relative GROWTH."""
    return (sizes @ planes.flatten(1).abs()).view(len(sizes), *planes.shape[2:])


def followed(
    planes: Tensor, keep: Tensor, carried: Tensor | None, error: Tensor
) -> tuple[Tensor, Tensor | None, Tensor]:
    """Planes along one slope for all boxes, what they carry then, and the error with what differs from that slope.

    `keep` (n, ...) are the boxes' own slopes, `carried` the sum of symbols before. Any slope is sound; the mean,
    weighted by what is carried, keeps the difference small where it matters.
    """
    if carried is None:
        return planes, None, error
    shared = ((keep * carried).sum(0) / carried.sum(0).clamp_min_(TINY)).clamp_(0, 1)
    apart = (keep - shared).abs_().add_(GROWTH).mul_(carried)
    return planes * shared, carried * shared, error.add_(apart)
