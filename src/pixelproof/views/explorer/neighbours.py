"""Neighbours of an example by any metric, and their sheet of images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from pixelproof.detect.neighbours.index import ExactIndex, search_together
from pixelproof.detect.neighbours.layers import activations
from pixelproof.detect.neighbours.metrics import Metric, join
from pixelproof.detect.neighbours.nearest import NearestRows
from pixelproof.detect.neighbours.store import COMPOSED
from pixelproof.errors import UnknownName
from pixelproof.types import Images
from pixelproof.views import paths
from pixelproof.views.answer import Answer, Atlas
from pixelproof.views.explorer.pictures import atlas, pixels, sheet
from pixelproof.views.open_run import OpenRun

ALIKE = 0.05  # root mean square per value under which two images are called alike


class Side(Answer):
    """Neighbours of one image, nearest first. `alike`: place in this list of a near-duplicate before it, or null."""

    index: tuple[int, ...] = Field(description="Positions in the original training file.")
    label: tuple[int, ...] = Field(description="True class of each.")
    distance: tuple[float, ...] = Field(description="From the example's image, by the metric asked for.")
    alike: tuple[int | None, ...] = Field(
        description="Place in this list of a near-duplicate before it; null where there is none."
    )


class ExampleNeighbours(Answer):
    """The nearest training images in one layer by one metric; the client shows the first k it wants."""

    available: Literal[True] = True
    layer: str = Field(description="Whose activations are compared.")
    metric: str = Field(description="That distances are measured by.")
    guard_metric: str = Field(description="The metric the layer's decision was made with.")
    indexed: int = Field(description="Training images that were searched: the correctly classified ones.")
    clean: Side = Field(description="Of the clean image.")
    adversarial: Side | None = Field(description="Of the attacked image; null for clean rows.")
    atlas: Atlas | None = Field(description="Tiles: the clean side's neighbours, then the adversarial side's.")


@dataclass(frozen=True, eq=False)
class JudgedSpace:
    """One layer by one metric: its index, or all of them with their weights for the composed layer."""

    layer: str
    metric: Metric
    layers: tuple[str, ...]
    indexes: list[ExactIndex]
    weights: tuple[float, ...]

    def search(self, rows: Sequence[Tensor], k: int) -> NearestRows:
        """The k nearest training images of each query."""
        return search_together(self.indexes, self.weights, rows, k)[-1]

    def distances(self, rows: Sequence[Tensor], others: Sequence[Tensor]) -> Tensor:
        """Distances between two lists of images, each given as its rows per layer."""
        parts = [
            _distances(index.prepared(a), index.prepared(b), self.metric)
            for index, a, b in zip(self.indexes, rows, others, strict=True)
        ]
        return parts[0] if len(parts) == 1 else join(parts, self.weights, self.metric)


def space(opened: OpenRun, layer: str, metric: Metric) -> JudgedSpace:
    """A judged layer by a metric; UnknownName for another layer, Lacking without [guards]."""
    view = opened.neighbour_view
    store = view.store
    if layer not in store.spaces:
        raise UnknownName("explore", "judged layer", layer[:80], store.spaces)
    indexes = view.by(metric)
    if layer == COMPOSED:
        return JudgedSpace(layer, metric, store.layers, indexes, store.weights)
    place = store.layers.index(layer)
    return JudgedSpace(layer, metric, (layer,), [indexes[place]], (1.0,))


def rows_of(opened: OpenRun, where: JudgedSpace, images: Images) -> list[Tensor]:
    """Activations of images in a space's layers."""
    found, _ = activations(opened.model, images, where.layers)
    return [found[layer] for layer in where.layers]


def neighbours(opened: OpenRun, example: str, layer: str, metric: Metric) -> ExampleNeighbours:
    """The nearest training images of the clean and of the attacked image, as many as the guard looked up."""
    where = space(opened, layer, metric)
    images = pixels(opened, example)
    store = opened.neighbour_view.store
    found = where.search(rows_of(opened, where, images), most(opened))
    sides = [_side(opened, ids, distance) for ids, distance in zip(found.ids, found.distance, strict=True)]
    sheet_of = None
    if opened.has("training"):
        href = paths.at(paths.FACES, run=opened.name, example=example, layer=layer, metric=metric)
        sheet_of = atlas(opened.shape, found.ids.numel(), href)
    return ExampleNeighbours(
        layer=layer,
        metric=metric,
        guard_metric=opened.neighbour_view.metric,
        indexed=len(store),
        clean=sides[0],
        adversarial=sides[1] if len(sides) > 1 else None,
        atlas=sheet_of,
    )


def most(opened: OpenRun) -> int:
    """How many neighbours are listed: as many as the guard looked up."""
    return min(opened.neighbour_view.k, len(opened.neighbour_view.store))


def faces(opened: OpenRun, example: str, layer: str, metric: Metric) -> bytes:
    """The neighbours' images in the order of the list, clean side first."""
    where = space(opened, layer, metric)
    found = where.search(rows_of(opened, where, pixels(opened, example)), most(opened))
    origin = opened.neighbour_view.store.origin[found.ids.flatten()].tolist()
    images = opened.training[torch.tensor([opened.place(index) for index in origin])].images
    return sheet(images, atlas(opened.shape, len(images), "").columns)


def _side(opened: OpenRun, ids: Tensor, distance: Tensor) -> Side:
    store = opened.neighbour_view.store
    origin = store.origin[ids].tolist()
    return Side(
        index=tuple(origin),
        label=tuple(store.labels[ids].tolist()),
        distance=tuple(distance.tolist()),
        alike=tuple(_alike(opened, origin)),
    )


def _alike(opened: OpenRun, origin: list[int]) -> list[int | None]:
    """For every neighbour the first one before it that looks the same; None where there is none or no image."""
    if not opened.has("training"):
        return [None] * len(origin)
    images = opened.training[torch.tensor([opened.place(index) for index in origin])].images.flatten(1)
    close = torch.cdist(images, images) / images.shape[1] ** 0.5 < ALIKE
    firsts = [close[row, :row].nonzero()[:, 0].tolist() for row in range(len(origin))]
    return [first[0] if first else None for first in firsts]


def _distances(a: Tensor, b: Tensor, metric: Metric) -> Tensor:
    if metric == "cosine":
        return 1 - a @ b.T
    order = {"euclidean": 2.0, "manhattan": 1.0, "chebyshev": float("inf")}[metric]
    return torch.cdist(a, b, p=order, compute_mode="donot_use_mm_for_euclid_dist")
