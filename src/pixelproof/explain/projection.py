"""Two coordinates per row, to be drawn: PCA at once, UMAP with the extra."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pixelproof.draws import check_seed
from pixelproof.errors import BadInput

LEAST = 3  # rows that a projection needs
SEEDS_OF_UMAP = 2**32  # its seeds begin again here

Points = Float[Tensor, "n 2"]


@runtime_checkable
class Projected(Protocol):
    """A fitted projection: places new rows among the old ones."""

    def __call__(self, rows: Float[Tensor, "m d"]) -> Float[Tensor, "m 2"]:
        """Two coordinates per row."""
        ...


@dataclass(frozen=True)
class PCA:
    """The two directions in which rows vary most (Pearson 1901); a sign is fixed, so the picture never flips."""

    name: ClassVar[str] = "pca"

    def fit(self, rows: Float[Tensor, "n d"]) -> Projected:
        """The projection of `rows`; at least 3 rows of at least 2 values."""
        _check(self.name, rows)
        mean = rows.mean(0)
        axes = torch.linalg.svd(rows - mean, full_matrices=False).Vh[:2]
        axes = axes * axes.gather(1, axes.abs().argmax(1, keepdim=True)).sign()
        return Plane(mean, axes)


@dataclass(frozen=True)
class Plane:
    """A fitted PCA."""

    mean: Float[Tensor, " d"]
    axes: Float[Tensor, "2 d"]

    def __call__(self, rows: Float[Tensor, "m d"]) -> Float[Tensor, "m 2"]:
        """Coordinates along the two directions."""
        return (rows - self.mean) @ self.axes.T


@dataclass(frozen=True)
class UMAP:
    """Uniform manifold approximation (McInnes et al. 2018, arXiv 1802.03426), by umap-learn: install pixelproof[umap].

    Distances and gaps between clusters mean little; which rows are neighbours means something.
    """

    name: ClassVar[str] = "umap"

    neighbours: int = 15
    min_dist: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        if self.neighbours < 2:
            raise BadInput(self.name, "neighbours must be at least 2", self.neighbours)
        check_seed(self.seed)
        if not 0 <= self.min_dist <= 1:
            raise BadInput(self.name, "min_dist must lie in [0, 1]", self.min_dist)

    def fit(self, rows: Float[Tensor, "n d"]) -> Projected:
        """The projection of `rows`; raises BadInput when umap-learn is not installed."""
        _check(self.name, rows)
        try:
            umap: Any = importlib.import_module("umap")
        except ImportError as reason:
            raise BadInput(
                self.name, "umap-learn must be installed", "none", "pip install 'pixelproof[umap]'"
            ) from reason
        near = min(self.neighbours, len(rows) - 1)
        start = "spectral" if len(rows) > LEAST else "random"  # three eigenvectors need a fourth row
        map_ = umap.UMAP(
            n_neighbors=near, min_dist=self.min_dist, random_state=self.seed % SEEDS_OF_UMAP, n_jobs=1, init=start
        )
        return Manifold(map_.fit(rows.cpu().numpy()))


@dataclass(frozen=True)
class Manifold:
    """A fitted UMAP."""

    map: Any

    def __call__(self, rows: Float[Tensor, "m d"]) -> Float[Tensor, "m 2"]:
        """Coordinates; rows that were fitted keep theirs."""
        return torch.from_numpy(np.asarray(self.map.transform(rows.cpu().numpy()), dtype=np.float32))


def _check(who: str, rows: Tensor) -> None:
    if len(rows) < LEAST or rows.shape[1] < 2:
        raise BadInput(who, f"at least {LEAST} rows of 2 values are needed", tuple(rows.shape))


PROJECTIONS: Mapping[str, Callable[..., Any]] = MappingProxyType({maker.name: maker for maker in (PCA, UMAP)})
