"""The graph of an example's neighbours, laid out before it is painted."""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch
from pydantic import Field
from torch import Tensor

from pixelproof.detect.neighbours.metrics import Metric
from pixelproof.views.answer import Answer
from pixelproof.views.explorer.neighbours import most, rows_of, space
from pixelproof.views.explorer.pictures import pixels
from pixelproof.views.open_run import OpenRun

NEAR = 3  # links from every neighbour to the nodes nearest to it
SideName: TypeAlias = Literal["clean", "adversarial"]


class Node(Answer):
    """A node of the graph: the example (index null) or a training image, laid out by classical scaling."""

    index: int | None = Field(description="Position in the original training file; null for the example.")
    label: int = Field(description="True class.")
    distance: float = Field(description="From the example, by the metric of the graph.")
    x: float = Field(description="From -1 to 1.")
    y: float = Field(description="From -1 to 1.")


class Link(Answer):
    """An edge between two nodes (positions in `nodes`) with their distance."""

    a: int = Field(description="Position in `nodes`.")
    b: int = Field(description="Position in `nodes`, higher than `a`.")
    distance: float = Field(description="Between the two, by the metric of the graph.")


class Graph(Answer):
    """The neighbour graph, already laid out in [-1, 1]^2: node 0 is the example, then its neighbours, nearest first.

    `links`: the example to every neighbour, and every neighbour to the `near` nodes nearest to it.
    """

    available: Literal[True] = True
    layer: str = Field(description="Whose activations are compared.")
    metric: str = Field(description="That distances are measured by.")
    side: str = Field(description="Which image is in the middle: clean or adversarial.")
    near: int = Field(description="Links from every neighbour to the nodes nearest to it.")
    stress: float = Field(description="Share of the squared distances that two dimensions cannot show, 0 to 1.")
    nodes: tuple[Node, ...] = Field(description="The example, then its neighbours, nearest first.")
    links: tuple[Link, ...] = Field(description="Each pair once.")


def graph(opened: OpenRun, example: str, layer: str, metric: Metric, side: SideName) -> Graph:
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
    return Graph(
        layer=layer,
        metric=metric,
        side=side,
        near=NEAR,
        stress=stress,
        nodes=tuple(
            Node(index=index[k], label=labels[k], distance=float(between[0, k]), x=x, y=y)
            for k, (x, y) in enumerate(places.tolist())
        ),
        links=tuple(Link(a=a, b=b, distance=float(between[a, b])) for a, b in links(between)),
    )


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
