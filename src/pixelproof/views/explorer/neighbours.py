"""Neighbours of an example by any metric, their sheet of images, and the graph laid out before it is painted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor

from pixelproof.detect.neighbours.index import ExactIndex, search_together
from pixelproof.detect.neighbours.layers import activations
from pixelproof.detect.neighbours.metrics import Metric, join
from pixelproof.detect.neighbours.nearest import NearestRows
from pixelproof.detect.neighbours.store import COMPOSED
from pixelproof.errors import UnknownName
from pixelproof.types import Images
from pixelproof.views import paths
from pixelproof.views.explorer.gallery import atlas
from pixelproof.views.explorer.pictures import pixels, sheet
from pixelproof.views.open_run import OpenRun

NEAR = 3  # links from every neighbour to the nodes nearest to it
ALIKE = 0.05  # root mean square per value under which two images are called alike
SideName: TypeAlias = Literal["clean", "adversarial"]


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


def neighbours(opened: OpenRun, example: str, layer: str, metric: Metric) -> dict[str, Any]:
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
    return {
        "layer": layer,
        "metric": metric,
        "guard_metric": opened.neighbour_view.section["metric"],
        "indexed": len(store),
        "clean": sides[0],
        "adversarial": sides[1] if len(sides) > 1 else None,
        "atlas": sheet_of,
    }


def most(opened: OpenRun) -> int:
    """How many neighbours are listed: as many as the guard looked up."""
    return int(min(opened.neighbour_view.section["k"], len(opened.neighbour_view.store)))


def faces(opened: OpenRun, example: str, layer: str, metric: Metric) -> bytes:
    """The neighbours' images in the order of the list, clean side first."""
    where = space(opened, layer, metric)
    found = where.search(rows_of(opened, where, pixels(opened, example)), most(opened))
    origin = opened.neighbour_view.store.origin[found.ids.flatten()].tolist()
    images = opened.training[torch.tensor([opened.place(index) for index in origin])].images
    return sheet(images, atlas(opened.shape, len(images), "")["columns"])


def graph(opened: OpenRun, example: str, layer: str, metric: Metric, side: SideName) -> dict[str, Any]:
    """The example and its neighbours as nodes, laid out by classical scaling of all distances (Torgerson 1952)."""
    where = space(opened, layer, metric)
    images = pixels(opened, example)
    query = rows_of(opened, where, images[:1] if side == "clean" else images[-1:])
    found = where.search(query, most(opened))
    ids = found.ids[0]
    rows = [torch.cat([own, index.rows[ids].to(own)]) for own, index in zip(query, where.indexes, strict=True)]
    between = where.distances(rows, rows).double()
    between = (between + between.T).fill_diagonal_(0) / 2
    places, stress = classical_scaling(between)
    store, shown, row = opened.neighbour_view.store, *opened.find(example)
    labels = [int(shown.labels[row]), *store.labels[ids].tolist()]
    index: list[int | None] = [None, *store.origin[ids].tolist()]
    nodes = [
        {"index": index[k], "label": labels[k], "distance": float(between[0, k]), "x": float(x), "y": float(y)}
        for k, (x, y) in enumerate(places.tolist())
    ]
    return {
        "layer": layer,
        "metric": metric,
        "side": side,
        "near": NEAR,
        "stress": stress,
        "nodes": nodes,
        "links": [{"a": a, "b": b, "distance": float(between[a, b])} for a, b in links(between)],
    }


def links(between: Tensor) -> list[tuple[int, int]]:
    """The example to every neighbour, and every neighbour to the NEAR nodes nearest to it, each pair once."""
    n = len(between)
    pairs = {(0, k): None for k in range(1, n)}
    others = between + torch.diag(torch.full((n,), torch.inf, dtype=between.dtype))
    for k in range(1, n):
        for other in others[k].topk(min(NEAR, n - 1), largest=False).indices.tolist():
            pairs[(min(k, other), max(k, other))] = None
    return list(pairs)


def classical_scaling(between: Tensor) -> tuple[Tensor, float]:
    """Points (n, 2) in [-1, 1]^2 whose distances come closest to `between`, and the share of variance they miss."""
    n = len(between)
    centre = torch.eye(n, dtype=between.dtype) - 1 / n
    values, vectors = torch.linalg.eigh(-0.5 * centre @ between.square() @ centre)
    top = values[-2:].clamp_min(0)
    points = (vectors[:, -2:] * _signs(vectors[:, -2:]) * top.sqrt()).flip(1)
    total = float(values.clamp_min(0).sum())
    stress = 1 - float(top.sum()) / total if total > 0 else 0.0
    return (points / points.abs().amax().clamp_min(1e-12)).float(), max(0.0, stress)


def _signs(axes: Tensor) -> Tensor:
    """A sign per column, so that a picture never flips."""
    return axes.gather(0, axes.abs().argmax(0, keepdim=True)).sign()


def _side(opened: OpenRun, ids: Tensor, distance: Tensor) -> dict[str, Any]:
    store = opened.neighbour_view.store
    return {
        "index": store.origin[ids].tolist(),
        "label": store.labels[ids].tolist(),
        "distance": distance.tolist(),
        "alike": _alike(opened, store.origin[ids].tolist()),
    }


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
