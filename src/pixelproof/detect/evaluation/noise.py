"""Noise twins: clean images with noise exactly as large as their attack turned out, clipping included."""

from __future__ import annotations

from typing import Literal, get_args

import torch

from pixelproof import lp
from pixelproof.errors import UnknownName
from pixelproof.types import Images, Norm, PerImage

Noise = Literal["sign", "shuffled", "uniform", "gaussian"]
KINDS: tuple[Noise, ...] = get_args(Noise)
LARGEST = 2.0**20
HALVINGS = 60


def matched_noise(
    clean: Images, attacked: Images, rng: torch.Generator, *, kind: str = "shuffled", norm: Norm = "l2"
) -> Images:
    """Clean images with noise whose realised size, after clipping to [0, 1], is that of their attack, per image.

    Clipping takes away about half of what noise puts on a black border, and an attack that stops early leaves less
    than its budget; so each image's noise is scaled, by bisection, until the `norm` of what is left equals the norm of
    attacked - clean. The default is l2, also for linf attacks: a single value at full budget is enough for the largest
    change, so noise of equal linf size may be several times as large everywhere else. Only the chosen norm is equal,
    the others are not. `kind`: "sign" (plus or minus one size everywhere), "shuffled" (the attack's own perturbation at
    shuffled pixels, with random signs), "uniform" or "gaussian". Where no scale reaches the size, values that clipping
    holds fast get the other sign. UnknownName for another kind.
    """
    if kind not in KINDS:
        raise UnknownName("noise", "kind", kind, KINDS)
    size = lp.norm(attacked - clean, norm)
    pattern = _pattern(clean, attacked, rng, kind)
    noisy = _scaled(clean, pattern, size, norm)
    short = lp.norm(noisy - clean, norm) < 0.999 * size
    if short.any():
        held = ((clean >= 1) & (pattern > 0)) | ((clean <= 0) & (pattern < 0))
        turned = torch.where(held, -pattern, pattern)
        noisy[short] = _scaled(clean[short], turned[short], size[short], norm)
    return noisy


def _pattern(clean: Images, attacked: Images, rng: torch.Generator, kind: str) -> Images:
    if kind == "gaussian":
        return torch.randn(clean.shape, generator=rng)
    if kind == "uniform":
        return 2 * torch.rand(clean.shape, generator=rng) - 1
    if kind == "sign":
        return 2.0 * torch.randint(2, clean.shape, generator=rng) - 1
    delta = (attacked - clean).flatten(2)
    n, _, pixels = delta.shape
    order = torch.rand((n, 1, pixels), generator=rng).argsort(2).expand_as(delta)
    signs = 2.0 * torch.randint(2, (n, 1, pixels), generator=rng) - 1
    return (signs * delta.gather(2, order)).view_as(clean)


def _scaled(clean: Images, pattern: Images, size: PerImage, norm: Norm) -> Images:
    """The clipped images whose noise has `size`; its norm grows with the scale, so bisection finds it."""

    def at(scale: PerImage) -> Images:
        return (clean + lp.per_image(scale) * pattern).clamp(0, 1)

    low, high = torch.zeros_like(size), (size > 0).to(size)
    while ((too_small := lp.norm(at(high) - clean, norm) < size) & (high < LARGEST)).any():
        low, high = torch.where(too_small, high, low), torch.where(too_small, 2 * high, high)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        above = lp.norm(at(middle) - clean, norm) >= size
        low, high = torch.where(above, low, middle), torch.where(above, middle, high)
    return at(high)
