"""Images as PNG: as they are, and perturbations on a diverging scale with zero in the middle."""

from __future__ import annotations

import io

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from pixelproof.report.page import Picture, PictureGallery, Shot
from pixelproof.views import Example

NEGATIVE, ZERO, POSITIVE = (0, 114, 178), (247, 247, 247), (213, 94, 0)  # blue, near white, vermillion


def photo(image: Float[Tensor, "c h w"]) -> bytes:
    """An image in [0, 1] with one or three channels as PNG, rounded to 8 bits; of other channel counts the first."""
    levels = (image.clamp(0, 1) * 255).round().to(torch.uint8)
    return png((levels if len(levels) == 3 else levels[:1].expand(3, -1, -1)).permute(1, 2, 0))


def signed(change: Float[Tensor, "c h w"]) -> Float[Tensor, "h w"]:
    """Per pixel the change of the channel that changed most, with its sign."""
    return change.gather(0, change.abs().argmax(0, keepdim=True))[0]


def diverging(values: Float[Tensor, "h w"], scale: float) -> Float[Tensor, "h w 3"]:
    """Colours in 0..255: blue at -scale, near white at 0, vermillion at +scale."""
    share = (values / scale).clamp(-1, 1)[..., None] if scale else torch.zeros_like(values)[..., None]
    low, zero, high = (torch.tensor(colour, dtype=torch.float32) for colour in (NEGATIVE, ZERO, POSITIVE))
    return zero + share.clamp(min=0) * (high - zero) - share.clamp(max=0) * (low - zero)


def heat(change: Float[Tensor, "c h w"], scale: float) -> bytes:
    """A perturbation as PNG on the diverging scale."""
    return png(diverging(signed(change), scale).round().to(torch.uint8))


def png(pixels: Tensor) -> bytes:
    """A PNG file of uint8 pixels (h, w, 3)."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels.numpy())).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def reach(shots: list[Example]) -> float:
    """The end of a common scale: the largest change of any value shown."""
    return max(float((shot.image - shot.clean).abs().max()) for shot in shots)


def gallery(shots: list[Example], *, name: str, title: str) -> PictureGallery:
    """Examples as pictures, on one common perturbation scale."""
    scale = reach(shots)
    return PictureGallery(name, title, tuple(_shot(shot, scale) for shot in shots), f"{scale:.3g}")


def _shot(example: Example, scale: float) -> Shot:
    what = f"test image {example.index}"
    pictures = (
        Picture(photo(example.clean), f"{what}, clean, a {example.label}"),
        Picture(photo(example.image), f"{what} after {example.attack}, taken for {example.predicted}"),
        Picture(heat(example.image - example.clean, scale), f"what {example.attack} changed in {what}"),
    )
    verdict = f"{example.label} → {example.predicted}"
    facts = f"#{example.index} · linf {example.linf:.3g}"
    return Shot(pictures, what, verdict, facts, example.success)
