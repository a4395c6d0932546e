"""stepwise: the search for one pixel on one image, portion by portion, for somebody who watches.

The same candidates as `OnePixel` (every pixel in the corners of the colour cube, the positions that the gradient points
at first), told as the lowest margin that was seen at every pixel: the attackability map while it grows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from pixelproof.attacks.pixel.engine import executor
from pixelproof.attacks.pixel.found import changed
from pixelproof.attacks.pixel.margins import check_attack, colour_grid, margins
from pixelproof.attacks.pixel.search import ranking
from pixelproof.errors import BadInput
from pixelproof.models import Classifier, frozen
from pixelproof.types import Goal, Images


@dataclass(frozen=True, eq=False)
class Glimpse:
    """How far the search is: `lowest` (h, w) is infinite where no colour was tried; `image` is the best so far."""

    tried: int
    total: int
    lowest: Float[Tensor, "h w"]
    image: Float[Tensor, "ch h w"]
    margin: float
    note: str


def stepwise(model: Classifier, image: Images, goal: Goal, *, portion: int = 16) -> Iterator[Glimpse]:
    """A glimpse after every `portion` pixels of the image (1, c, h, w), until every pixel was tried.

    `margin` is negative once the goal is reached. Stop iterating to stop the search. Raises BadInput for bad images.
    """
    if portion < 1:
        raise BadInput("one-pixel", "a portion must be at least one pixel", portion)
    check_attack("one-pixel", model, image, goal)
    label = int(goal.labels[0])
    with frozen(model):
        order = ranking(model, image, goal)[0][0].cpu()
        engine = executor(model, image[0])
        scene = engine.focus(image[0])
    corners = colour_grid(len(image[0]), 2)
    lowest = torch.full((order.numel(),), torch.inf)
    best, margin = image[0].cpu(), float(margins(scene.clean.cpu(), label, goal.targeted))
    for start in range(0, len(order), portion):
        positions = order[start : start + portion]
        with frozen(model), torch.no_grad():
            logits = scene.logits(positions, corners.expand(len(positions), -1, -1)).cpu()
        value = margins(logits, label, goal.targeted)
        lowest[positions] = value.amin(1)
        least = int(value.argmin())
        if float(value.view(-1)[least]) < margin:
            margin = float(value.view(-1)[least])
            position = int(positions[least // len(corners)])
            best = changed(image[0].cpu(), position, corners[least % len(corners)])
        yield Glimpse(
            tried=start + len(positions),
            total=len(order),
            lowest=lowest.view(image.shape[2:]).clone(),
            image=best,
            margin=margin,
            note=engine.note,
        )
