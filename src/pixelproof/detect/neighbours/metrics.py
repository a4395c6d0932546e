"""Distances: which there are, and how those in several spaces become one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

Metric: TypeAlias = Literal["euclidean", "cosine", "manhattan", "chebyshev"]

ORDER = {"euclidean": 2.0, "manhattan": 1.0, "chebyshev": float("inf")}


def join_keys(keys: Sequence[Tensor], weights: Sequence[float], metric: Metric) -> Tensor:
    """Keys of several spaces as one: the order of `join`, up to terms equal for all rows."""
    if metric == "euclidean":
        total = keys[0] * weights[0] ** 2
        for key, weight in zip(keys[1:], weights[1:], strict=True):
            total.add_(key, alpha=weight**2)
        return total
    return join(keys, weights, metric)


def join(distances: Sequence[Tensor], weights: Sequence[float], metric: Metric) -> Tensor:
    """Distances in several spaces as one distance; cosine distances have a scale of their own and are averaged."""
    if metric == "cosine":
        return torch.stack(list(distances)).mean(0)
    scaled = torch.stack([distance * weight for distance, weight in zip(distances, weights, strict=True)])
    if metric == "euclidean":
        joined: Tensor = torch.linalg.vector_norm(scaled, dim=0)
        return joined
    return scaled.sum(0) if metric == "manhattan" else scaled.amax(0)


def share(distance: Tensor, weight: float, spaces: int, metric: Metric) -> Tensor:
    """How far two rows can be apart in one of the spaces when `distance` is their joined one."""
    return distance * spaces if metric == "cosine" else distance / weight


def apart(rows: Float[Tensor, "n d"], others: Float[Tensor, "n d"], metric: Metric) -> Float[Tensor, " n"]:
    """The distance of each row to the one beside it."""
    if metric == "cosine":
        return 1 - torch.cosine_similarity(rows, others, dim=1)
    distance: Tensor = torch.linalg.vector_norm(rows - others, ord=ORDER[metric], dim=1)
    return distance
