"""What a search for nearest rows is asked and gives, whatever the engine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pixelproof.errors import BadInput


@dataclass(frozen=True, eq=False)
class NearestRows:
    """The k nearest rows of each query, nearest first: their ids and distances."""

    ids: Int[Tensor, "q k"]
    distance: Float[Tensor, "q k"]


@runtime_checkable
class Index(Protocol):
    """Rows under ids of their own, to be searched for the nearest ones."""

    def __len__(self) -> int:
        """How many rows there are."""
        ...

    def add(self, rows: Float[Tensor, "n d"], ids: Int[Tensor, " n"]) -> None:
        """Put rows in under new ids."""
        ...

    def remove(self, ids: Int[Tensor, " m"]) -> None:
        """Take rows out."""
        ...

    def search(self, queries: Float[Tensor, "q d"], k: int) -> NearestRows:
        """The k nearest rows of each query."""
        ...

    def save(self, path: Path, digest: str) -> None:
        """Write the index to a file, whole or not at all; `digest` says which model its rows come from."""
        ...


def check_rows(rows: Tensor, ids: Tensor, dimension: int) -> None:
    """Refuse rows of another length than the index's, with NaN or infinity, or without one id each."""
    if rows.ndim != 2 or rows.shape[1] != dimension or len(rows) != len(ids):
        raise BadInput("index", f"expected (n, {dimension}) rows and n ids", f"{tuple(rows.shape)} and {len(ids)}")
    finite = torch.isfinite(torch.linalg.vector_norm(rows.float(), dim=1))  # row by row: no mask of the whole table
    if not finite.all():
        bad = int((~finite).sum())
        raise BadInput("index", "rows must be finite", f"NaN or infinity in {bad} of {len(rows)}", "Check the network.")


def recall(found: NearestRows, exact: NearestRows) -> float:
    """The share of the true neighbours that an approximate search finds."""
    hits = (found.ids[:, :, None] == exact.ids[:, None, :]).any(1)
    return float(hits.float().mean())
