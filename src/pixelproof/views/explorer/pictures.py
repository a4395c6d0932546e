"""Images as PNG at native size, alone and as atlas pages; pixels as exact numbers."""

from __future__ import annotations

import io
from math import ceil

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from pixelproof.errors import BadInput
from pixelproof.views.answer import Atlas, Lacking
from pixelproof.views.open_run import OpenRun

PAGE = 2048  # pixels along the longer side of an atlas page: a quarter of what every browser can draw


def clean(opened: OpenRun, example: str) -> bytes:
    """The clean image of an example."""
    found, row = opened.find(example)
    return png(found.clean_image(row))


def adversarial(opened: OpenRun, example: str) -> bytes:
    """The attacked image of an example; Lacking for a clean one."""
    found, row = opened.find(example)
    if found.attack is None:
        raise Lacking("adversarial image", "This is a clean image: nothing was attacked.", "Choose an attacked one.")
    return png(found.image(row))


def pixels(opened: OpenRun, example: str) -> Float[Tensor, "s c h w"]:
    """Clean and attacked pixels, exact; one image for a clean example."""
    found, row = opened.find(example)
    images = [found.clean_image(row)] if found.attack is None else [found.clean_image(row), found.image(row)]
    return torch.stack(images)


def training(opened: OpenRun, index: int) -> bytes:
    """A training image by its position in the original file."""
    return png(opened.training[opened.place(index)].images[0])


def page(opened: OpenRun, number: int) -> bytes:
    """A page of the gallery's atlas."""
    total = sum(len(each) for each in opened.sets)
    plan = atlas(opened.shape, total, "")
    if not 0 <= number < plan.pages:
        raise BadInput("explore", f"atlas pages go from 0 to {plan.pages - 1}", number)
    size = plan.columns * plan.rows
    first, last = number * size, min((number + 1) * size, total)
    images, start = [], 0
    for each in opened.sets:
        low, high = max(first - start, 0), min(last - start, len(each))
        if low < high:
            images.append(each.part(low, high))
        start += len(each)
    return sheet(torch.cat(images), plan.columns)


def atlas(shape: tuple[int, int, int], tiles: int, href: str) -> Atlas:
    """How many tiles of an image's size a page has, and how many pages there are."""
    _, height, width = shape
    columns, rows = max(1, PAGE // width), max(1, PAGE // height)
    if tiles < columns * rows:
        columns = min(columns, max(1, ceil(tiles**0.5)))
        rows = max(1, ceil(tiles / columns))
    pages = max(1, ceil(tiles / (columns * rows)))
    return Atlas(href=href, tile=(width, height), columns=columns, rows=rows, pages=pages, tiles=tiles)


def sheet(images: Float[Tensor, "n c h w"], columns: int) -> bytes:
    """Images side by side, `columns` in a row, without gaps."""
    n, channels, height, width = images.shape
    rows = -(-n // columns)
    canvas = torch.zeros(rows * columns, channels, height, width)
    canvas[:n] = images
    joined = canvas.view(rows, columns, channels, height, width).permute(2, 0, 3, 1, 4)
    return png(joined.reshape(channels, rows * height, columns * width))


def png(image: Float[Tensor, "c h w"]) -> bytes:
    """A PNG of an image in [0, 1], rounded to 8 bits; of other numbers of channels than 1 and 3 the first is shown."""
    levels = (image.clamp(0, 1) * 255).round().to(torch.uint8)
    array = levels.permute(1, 2, 0).numpy() if len(levels) == 3 else levels[0].numpy()
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(array)).save(buffer, format="PNG", compress_level=3)
    return buffer.getvalue()
