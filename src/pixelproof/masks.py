"""Which features of an image are hidden: masks by pattern and ratio, and a tape that makes random ones at no cost.

A mask is a boolean tensor, True where the image is kept, as in paper 2's M ⊙ x; a tape's masks are the same as floats,
1 and 0, because floats multiply four times faster. Everything is drawn from a NumPy generator that the caller seeds, on
the CPU.
"""

from __future__ import annotations

from math import prod, sqrt
from typing import Literal, TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from pixelproof.errors import BadInput
from pixelproof.types import Images

Pattern: TypeAlias = Literal["random", "fixed", "block", "filter"]
Per: TypeAlias = Literal["pixel", "channel"]
Fill: TypeAlias = float | Literal["mean", "noise", "blur", "distort"]
Shape: TypeAlias = tuple[int, int, int]
Masks: TypeAlias = Bool[Tensor, "n c h w"]

WINDOWS = 16  # how many batches fit into a tape side by side
LEVELS = 2**16  # random 16-bit numbers are compared with the ratio, so it is exact to 1.5e-5
BLUR = 5  # width of the box that blurs
SHIFT = 3  # pixels by which distorted regions are moved


def check_ratio(who: str, ratio: float) -> None:
    """Refuse a share of hidden features outside [0, 1)."""
    if not 0 <= ratio < 1:
        raise BadInput(who, "ratio must lie in [0, 1)", ratio, "It is the share of pixels hidden: 0.3, not 30.")


def check_fill(who: str, fill: Fill, pattern: Pattern) -> None:
    """Refuse a constant outside [0, 1], and a filter pattern that would not filter."""
    if isinstance(fill, float | int) and not 0 <= fill <= 1:
        raise BadInput(who, "a constant fill must lie in [0, 1], as images do", fill)
    if pattern == "filter" and fill not in ("blur", "distort"):
        raise BadInput(who, "pattern 'filter' needs fill=blur or fill=distort", f"fill={fill}", "Or use pattern=block.")


def generate_mask(
    shape: Shape, ratio: float, *, pattern: Pattern = "random", per: Per = "pixel", rng: np.random.Generator
) -> Bool[Tensor, "c h w"]:
    """One mask for an image of `shape`, True where it is kept (paper 2, Algorithm step 3).

    "random" and "fixed" hide each pixel (or, per channel, each value) with probability `ratio`; "block" and "filter"
    hide a rectangle of that share of the area, its sides in the image's proportions, at a random place.
    """
    check_ratio("generate_mask", ratio)
    if pattern in ("block", "filter"):
        return blocks(1, shape, ratio, rng).expand(1, *shape)[0].clone()
    planes = shape[0] if per == "channel" else 1
    bits = torch.from_numpy(rng.random((planes, *shape[1:]), dtype=np.float32)) >= ratio
    return bits.expand(shape).clone()


def blocks(n: int, shape: Shape, ratio: float, rng: np.random.Generator) -> Masks:
    """`n` masks (n, 1, h, w), each of which hides one rectangle (cutout: DeVries & Taylor 2017, arXiv 1708.04552)."""
    _, height, width = shape
    high, wide = (round(sqrt(ratio) * side) for side in (height, width))
    top = torch.from_numpy(rng.integers(0, height - high + 1, (n, 1)))
    left = torch.from_numpy(rng.integers(0, width - wide + 1, (n, 1)))
    rows, columns = torch.arange(height)[None], torch.arange(width)[None]
    down, across = (rows >= top) & (rows < top + high), (columns >= left) & (columns < left + wide)
    return ~(down[:, None, :, None] & across[:, None, None, :])


class Tape:
    """Random masks as windows of one long row of random bits.

    Drawing bits costs more than a small network's layer; a window at a random offset costs nothing, and masks that
    come from different offsets differ at every pixel independently. `renew` (once an epoch) draws all bits anew.
    """

    def __init__(self, shape: Shape, ratio: float, *, per: Per, batch: int, rng: np.random.Generator) -> None:
        check_ratio("mask", ratio)
        self.shape, self.ratio, self.rng = ((shape[0] if per == "channel" else 1), *shape[1:]), ratio, rng
        self.size = prod(self.shape)
        self.length = WINDOWS * batch * self.size
        self.renew()

    def renew(self) -> None:
        """Draw all bits again."""
        numbers = np.frombuffer(self.rng.bytes(2 * self.length), dtype=np.uint16)
        self.bits = torch.from_numpy(numbers >= round(self.ratio * LEVELS)).float()

    def window(self, n: int) -> Float[Tensor, "n c h w"]:
        """`n` masks nobody has seen in this order; (n, 1, h, w), or (n, c, h, w) per channel."""
        start = int(self.rng.integers(0, self.length - n * self.size + 1))
        return self.bits[start : start + n * self.size].view(n, *self.shape)

    def at(self, places: Tensor) -> Float[Tensor, "n c h w"]:
        """The masks that begin at `places` (n) of the tape, each modulo what fits: the same place, the same mask."""
        rows = self.bits.unfold(0, self.size, 1)
        return rows[places % len(rows)].view(len(places), *self.shape)


class Noise:
    """Uniform numbers in [0, 1) as windows of one long row of them."""

    def __init__(self, shape: Shape, *, batch: int, rng: np.random.Generator) -> None:
        self.shape, self.size, self.rng = shape, prod(shape), rng
        self.numbers = torch.from_numpy(rng.random(WINDOWS * batch * self.size, dtype=np.float32))

    def window(self, n: int) -> Images:
        """(n, c, h, w)."""
        start = int(self.rng.integers(0, len(self.numbers) - n * self.size + 1))
        return self.numbers[start : start + n * self.size].view(n, *self.shape)


def hide(images: Images, kept: Tensor, fill: Fill, noise: Tensor | None = None) -> Images:
    """`images` with everything that is not `kept` replaced by `fill`; a constant, or "noise" (`noise` must be given).

    "mean" is each image's own mean per channel, "blur" a box blur of width 5, "distort" the image moved by 3 pixels
    down and right, edges repeated. Gradients pass through kept pixels, and through what a fill makes of the image.
    """
    if fill == 0:
        return images * kept
    if isinstance(fill, float | int):
        other = torch.full((), fill, device=images.device)
    elif fill == "noise":
        assert noise is not None
        other = noise
    elif fill == "mean":
        other = images.mean((2, 3), keepdim=True)
    else:
        other = blur(images) if fill == "blur" else distort(images)
    if kept.dtype == torch.bool:
        return torch.where(kept, images, other)
    return torch.lerp(other, images, kept)  # exact at 0 and 1, and faster than a choice by bits


def blur(images: Images) -> Images:
    """A box blur of width 5, edges repeated."""
    return F.avg_pool2d(F.pad(images, (BLUR // 2,) * 4, mode="replicate"), BLUR, stride=1)


def distort(images: Images) -> Images:
    """The image moved by 3 pixels down and right, edges repeated."""
    moved = F.pad(images, (SHIFT, 0, SHIFT, 0), mode="replicate")
    return moved[:, :, : images.shape[2], : images.shape[3]]
