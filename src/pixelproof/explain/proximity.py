"""Do pixels with attributions near 0 matter less than those far from 0? Paper 1's Table II, measured."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from pixelproof.draws import Draws
from pixelproof.errors import BadInput
from pixelproof.explain.attribution import Attribution
from pixelproof.models import Classifier
from pixelproof.types import Images

WHO = "proximity"
GROUPS = ("far from 0", "far above 0", "far below 0", "random", "close to 0")


@dataclass(frozen=True)
class Proximity:
    """What happens when `k` pixels of each image take a background's values, by how near 0 their attribution is.

    `change` (n): by how much the explained logit moves, mean over backgrounds; `relabelled` (n): the share of the
    backgrounds under which the predicted class becomes another. One tensor for each of `groups`. Only pixels
    that differ from some background take part, for the others move nothing whatever their attribution; an image with
    fewer than k of a kind is filled up with those next in order.
    """

    groups: tuple[str, ...]
    k: int
    change: tuple[Float[Tensor, " n"], ...]
    relabelled: tuple[Float[Tensor, " n"], ...]


def proximity(
    model: Classifier,
    images: Images,
    found: Attribution,
    background: Float[Tensor, "b c h w"],
    *,
    k: int,
    draws: Draws,
) -> Proximity:
    """Replace, image by image, the k pixels of each group by those of each background, and ask the model again.

    `found` are the images' attributions against `background`. Raises BadInput when k does not fit the image.
    """
    pixels = images[0, 0].numel()
    if not 1 <= k <= pixels:
        raise BadInput(WHO, f"k must lie in 1..{pixels}, the pixels of an image", k)
    value = found.values.sum(1).cpu()
    moving = (images[:, None] != background[None]).any(2).any(1)
    chance = draws.uniform(*value.shape[1:])
    scores = (value.abs(), value, -value, chance, -value.abs())
    rows = torch.arange(len(images))
    before = model.predict(images)
    changes, shares = [], []
    for score in scores:
        mask = _first(torch.where(moving, score, -torch.inf), k)[:, None]
        after = torch.stack([model.predict(torch.where(mask, one, images)) for one in background])
        moved = (after[:, rows, found.classes.cpu()] - before[rows, found.classes.cpu()]).mean(0)
        changes.append(moved)
        shares.append((after.argmax(2) != before.argmax(1)).float().mean(0))
    return Proximity(GROUPS, k, tuple(changes), tuple(shares))


def _first(scores: Float[Tensor, "n h w"], k: int) -> Bool[Tensor, "n h w"]:
    """The k largest of each image as a mask; ties in reading order."""
    order = scores.flatten(1).argsort(dim=1, descending=True, stable=True)[:, :k]
    return torch.zeros_like(scores.flatten(1), dtype=torch.bool).scatter_(1, order, True).view(scores.shape)
