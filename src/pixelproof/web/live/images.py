"""Images as the browser sends them: base64 of little-endian float32."""

from __future__ import annotations

import base64
import binascii
from math import prod

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pixelproof.errors import BadInput
from pixelproof.types import check_images

Shape = tuple[int, int, int]


def unpacked(pixels: str, shape: Shape) -> Float[Tensor, "1 c h w"]:
    """The image that a browser sent; BadInput when it is not of this shape, or not finite numbers in [0, 1]."""
    expected = f"pixels must be base64 of {prod(shape)} little-endian float32 values {shape}"
    try:
        content = base64.b64decode(pixels, validate=True)
    except (binascii.Error, ValueError) as reason:
        raise BadInput("live", expected, "no base64") from reason
    if len(content) != 4 * prod(shape):
        raise BadInput("live", expected, f"{len(content)} bytes")
    image = torch.from_numpy(np.frombuffer(content, dtype="<f4").astype(np.float32)).view(1, *shape)
    check_images("live", image)
    return image


def packed(image: Float[Tensor, "*shape"]) -> str:
    """An image as base64 of little-endian float32."""
    return base64.b64encode(image.detach().cpu().contiguous().numpy().astype("<f4").tobytes()).decode()
