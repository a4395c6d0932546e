"""Training images that are almost the same: found, listed, and left out of an index on request.

The experts of Keppel et al. saw that near-duplicates in CIFAR-10 crowd the neighbours of some images.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from pixelproof.data import Dataset
from pixelproof.detect.neighbours.index import ExactIndex
from pixelproof.errors import BadInput
from pixelproof.types import Images

COARSE = 8  # images are compared at 8 x 8 first
NEAREST = 20


@dataclass(frozen=True, eq=False)
class Duplicates:
    """Pairs of near-duplicates: positions in the data set that was searched (first < second), nearest pair first.

    `distance` is the root mean square difference of their values, `same` whether they carry the same label, and
    `redundant` the positions to leave out so that one image of every group of duplicates stays.
    """

    pairs: Int[Tensor, "p 2"]
    distance: Float[Tensor, " p"]
    same: Tensor
    redundant: Int[Tensor, " r"]


def near_duplicates(data: Dataset, limit: float = 0.05) -> Duplicates:
    """All pairs of images whose root mean square difference is at most `limit` (on values in [0, 1]).

    Averaging over squares never raises that difference, so no pair is lost by searching small images first; only an
    image's 20 nearest are looked at, enough to connect a group unless it is larger than that.
    """
    if not 0 <= limit < 1:
        raise BadInput("duplicates", "limit must lie in [0, 1)", limit)
    small = _coarse(data)
    index = ExactIndex(small.shape[1])
    index.add(small, torch.arange(len(data)))
    found = index.search(small, min(NEAREST + 1, len(data)))
    near = found.distance / small.shape[1] ** 0.5 <= limit + 1e-6
    first, second = torch.arange(len(data))[:, None].expand_as(found.ids)[near], found.ids[near]
    pairs = torch.stack([torch.minimum(first, second), torch.maximum(first, second)], 1)
    pairs = torch.unique(pairs[pairs[:, 0] < pairs[:, 1]], dim=0)
    distance = torch.cat([_difference(data, part) for part in torch.split(pairs, 1000)]) if len(pairs) else _NONE
    close = distance <= limit
    order = distance[close].argsort()
    pairs, distance = pairs[close][order], distance[close][order]
    same = data.labels[pairs[:, 0]] == data.labels[pairs[:, 1]]
    return Duplicates(pairs, distance, same, _redundant(pairs, len(data)))


def without_duplicates(data: Dataset, limit: float = 0.05) -> Dataset:
    """`data` with one image of every group of near-duplicates left."""
    keep = torch.ones(len(data), dtype=torch.bool)
    keep[near_duplicates(data, limit).redundant] = False
    return data[keep]


_NONE = torch.empty(0)


def _coarse(data: Dataset) -> Float[Tensor, "n d"]:
    """Images averaged over equal squares to at most 8 x 8 (sides that have no such division stay as they are)."""
    height, width = data.shape[1:]
    square = [side // COARSE if side % COARSE == 0 and side > COARSE else 1 for side in (height, width)]

    def shrunk(images: Images) -> Tensor:
        return F.avg_pool2d(images, (square[0], square[1])).flatten(1)

    return torch.cat([shrunk(part.images) for part in data.batches(1000)])


def _difference(data: Dataset, pairs: Int[Tensor, "p 2"]) -> Float[Tensor, " p"]:
    delta = (data[pairs[:, 0]].images - data[pairs[:, 1]].images).flatten(1)
    return delta.square().mean(1).sqrt()


def _redundant(pairs: Int[Tensor, "p 2"], n: int) -> Int[Tensor, " r"]:
    """All but the first image of every connected group."""
    root = list(range(n))

    def top(position: int) -> int:
        while root[position] != position:
            root[position] = root[root[position]]
            position = root[position]
        return position

    for one, other in pairs.tolist():
        low, high = sorted((top(one), top(other)))
        root[high] = low
    return torch.tensor([position for position in range(n) if top(position) != position], dtype=torch.long)
