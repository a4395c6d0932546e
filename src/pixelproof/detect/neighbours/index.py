"""Nearest rows of a table, exactly: blocked matrix products and top-k with torch, on any device.

|q - x|^2 = |q|^2 - 2 q.x + |x|^2 costs one matrix product; the best candidates' distances are then computed again from
their differences, for that formula loses digits exactly where rows are near. `torch.cdist` is not used for it: for a
single query it takes a path without matrix product.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, TypeAlias, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pixelproof.detect.storage import read, write
from pixelproof.errors import BadInput, CorruptFile

Metric: TypeAlias = Literal["euclidean", "cosine", "manhattan", "chebyshev"]

ROWS = 16_384  # rows per block: with 512 queries its distances (32 MB) are still near the cache when top-k reads them
QUERIES = 512
ORDER = {"euclidean": 2.0, "manhattan": 1.0, "chebyshev": float("inf")}
SPARE = 8  # candidates beyond k whose distances are computed again, so that rounding cannot cost a neighbour


@dataclass(frozen=True, eq=False)
class Found:
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

    def search(self, queries: Float[Tensor, "q d"], k: int) -> Found:
        """The k nearest rows of each query."""
        ...

    def save(self, path: Path, digest: str) -> None:
        """Write the index to a file, whole or not at all; `digest` says which model its rows come from."""
        ...


class ExactIndex:
    """Exact search in memory, or in a memory-mapped table; rows live on the device they came on."""

    def __init__(self, dimension: int, metric: Metric = "euclidean", device: torch.device | None = None) -> None:
        self.metric: Metric = metric
        self.rows = torch.empty(0, dimension, device=device)
        self.ids = torch.empty(0, dtype=torch.long)
        self.offset = torch.empty(0, device=device)

    def __len__(self) -> int:
        return len(self.ids)

    def add(self, rows: Float[Tensor, "n d"], ids: Int[Tensor, " n"]) -> None:
        """Put rows in under new ids; raises BadInput for rows of another length, NaN or infinity, and known ids."""
        check_rows(rows, ids, self.rows.shape[1])
        if torch.isin(ids, self.ids).any() or len(set(ids.tolist())) < len(ids):
            raise BadInput("index", "ids must be new and different", "an id that is already taken")
        rows = self.prepared(rows)
        size = torch.linalg.vector_norm(rows, dim=1)
        offset = size.square() if self.metric == "euclidean" else torch.zeros_like(size)
        first = not len(self)
        self.rows = rows if first else torch.cat([self.rows, rows])
        self.offset = offset if first else torch.cat([self.offset, offset])
        self.ids = ids.clone() if first else torch.cat([self.ids, ids])

    def remove(self, ids: Int[Tensor, " m"]) -> None:
        """Take rows out; raises BadInput for an id that is not there."""
        if not torch.isin(ids, self.ids).all():
            raise BadInput("index", "only ids of the index can be removed", ids[~torch.isin(ids, self.ids)].tolist())
        keep = ~torch.isin(self.ids, ids)
        at = keep.to(self.rows.device)
        self.rows, self.offset, self.ids = self.rows[at], self.offset[at], self.ids[keep]

    def search(self, queries: Float[Tensor, "q d"], k: int) -> Found:
        """The k nearest rows of each query; raises BadInput when k is larger than the index."""
        return search_together([self], [1.0], [queries], k)[0]

    def prepared(self, rows: Tensor) -> Tensor:
        """Rows as they are stored and compared: float32 on the index's device, of length one for cosine."""
        rows = rows.detach().to(self.rows.device).float()
        return torch.nn.functional.normalize(rows, dim=1) if self.metric == "cosine" else rows

    def keys(self, queries: Tensor, start: int, stop: int) -> Tensor:
        """What rows start..stop are ordered by, per query: a distance, or one without the terms equal for all rows."""
        rows = self.rows[start:stop]
        if self.metric in ("euclidean", "cosine"):
            scale = -2.0 if self.metric == "euclidean" else -1.0
            return torch.addmm(self.offset[start:stop], queries, rows.T, alpha=scale)
        return torch.cdist(queries, rows, p=1.0 if self.metric == "manhattan" else float("inf"))

    def between(self, queries: Tensor, places: Tensor) -> Tensor:
        """Distances (q, k) of each query to its own candidates at `places` (q, k), from their differences."""
        found = []
        for query, place in zip(torch.split(queries, 64), torch.split(places, 64), strict=True):
            rows = self.rows[place]
            if self.metric == "cosine":
                found.append(1 - torch.bmm(rows, query[:, :, None])[:, :, 0])
                continue
            found.append(torch.linalg.vector_norm(rows.sub_(query[:, None]), ord=ORDER[self.metric], dim=2))
        return torch.cat(found)

    def save(self, path: Path, digest: str) -> None:
        """Write the index to a safetensors file, whole or not at all."""
        tensors = {"rows": self.rows, "ids": self.ids}
        write(path, tensors, {"index": "exact", "metric": self.metric, "digest": digest})

    @classmethod
    def load(cls, path: Path, digest: str, device: torch.device | None = None) -> ExactIndex:
        """The index in a file; on the CPU its rows stay in the file until they are read.

        Raises CorruptFile for a damaged file and BadInput for the index of another model.
        """
        tensors, facts = read(path, digest)
        try:
            index = cls(tensors["rows"].shape[1], facts["metric"], device)
            index.add(tensors["rows"], tensors["ids"])
        except (KeyError, IndexError) as reason:
            raise CorruptFile(str(path), "expected rows and ids", reason, "Delete it; it is built again.") from reason
        return index


def search_together(
    indexes: Sequence[ExactIndex], weights: Sequence[float], queries: Sequence[Tensor], k: int
) -> list[Found]:
    """The k nearest rows in each index, and (for more than one index) in all of them together, as last entry.

    The indexes hold the same ids in the same order. Together, distances are weighted and joined as their metric joins
    coordinates: root of the sum of squares, mean of cosine distances, sum, or maximum. That is the distance between
    concatenated, scaled rows, without holding those and without another matrix product.
    """
    first, n = indexes[0], len(indexes[0])
    if not 1 <= k <= n:
        raise BadInput("index", f"k must lie in 1..{n}, the number of rows", k, "Lower k, or index more images.")
    for index, rows in zip(indexes, queries, strict=True):
        check_rows(rows, torch.arange(len(rows)), index.rows.shape[1])
    asked = [index.prepared(rows) for index, rows in zip(indexes, queries, strict=True)]
    parts = [
        _search_block(indexes, weights, [rows[start : start + QUERIES] for rows in asked], k)
        for start in range(0, len(asked[0]), QUERIES)
    ]
    results = []
    for one in zip(*parts, strict=True):
        places = torch.cat([found[0] for found in one]).cpu()
        results.append(Found(first.ids[places], torch.cat([found[1] for found in one]).cpu()))
    return results


def _search_block(
    indexes: Sequence[ExactIndex], weights: Sequence[float], queries: list[Tensor], k: int
) -> list[tuple[Tensor, Tensor]]:
    """Places and distances of the k best rows for a block of queries, per index and together."""
    n = len(indexes[0])
    together = len(indexes) > 1
    wanted = min(k + SPARE, n)
    kept: list[list[tuple[Tensor, Tensor]]] = [[] for _ in range(len(indexes) + together)]
    for start in range(0, n, ROWS):
        stop = min(start + ROWS, n)
        keys = [index.keys(rows, start, stop) for index, rows in zip(indexes, queries, strict=True)]
        if together:
            keys.append(join_keys(keys, weights, indexes[0].metric))
        for entry, key in zip(kept, keys, strict=True):
            best, place = key.topk(min(wanted, stop - start), largest=False, sorted=False)
            entry.append((best, place + start))
    results = []
    for position, entry in enumerate(kept):
        best, place = (torch.cat(items, 1) for items in zip(*entry, strict=True))
        place = place.gather(1, best.topk(wanted, largest=False, sorted=False).indices)
        if position < len(indexes):
            exact = indexes[position].between(queries[position], place)
        else:
            each = [index.between(rows, place) for index, rows in zip(indexes, queries, strict=True)]
            exact = join(each, weights, indexes[0].metric)
        distance, order = exact.topk(k, largest=False)
        results.append((place.gather(1, order), distance))
    return results


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


def apart(rows: Float[Tensor, "n d"], others: Float[Tensor, "n d"], metric: Metric) -> Float[Tensor, " n"]:
    """The distance of each row to the one beside it."""
    if metric == "cosine":
        return 1 - torch.cosine_similarity(rows, others, dim=1)
    distance: Tensor = torch.linalg.vector_norm(rows - others, ord=ORDER[metric], dim=1)
    return distance


def check_rows(rows: Tensor, ids: Tensor, dimension: int) -> None:
    """Refuse rows of another length than the index's, with NaN or infinity, or without one id each."""
    if rows.ndim != 2 or rows.shape[1] != dimension or len(rows) != len(ids):
        raise BadInput("index", f"expected (n, {dimension}) rows and n ids", f"{tuple(rows.shape)} and {len(ids)}")
    finite = torch.isfinite(torch.linalg.vector_norm(rows.float(), dim=1))  # row by row: no mask of the whole table
    if not finite.all():
        bad = int((~finite).sum())
        raise BadInput("index", "rows must be finite", f"NaN or infinity in {bad} of {len(rows)}", "Check the network.")


def recall(found: Found, exact: Found) -> float:
    """The share of the true neighbours that an approximate search finds."""
    hits = (found.ids[:, :, None] == exact.ids[:, None, :]).any(1)
    return float(hits.float().mean())
