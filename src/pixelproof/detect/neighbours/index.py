"""Nearest rows of a table, exactly: blocked matrix products and top-k with torch, on any device.

|q - x|^2 = |q|^2 - 2 q.x + |x|^2 costs one matrix product, from the rows' mean, for a common offset would eat the
digits; the best candidates' distances are then computed again from their differences. A query whose candidates lie so
close together that rounding may have hidden a neighbour (ties, above all) is searched again among all rows that could
be one, so the answer is that of a loop over all rows: equal distances by the lower id, whatever else is asked with it.
`torch.cdist` is not used for it: for a single query it takes a path without matrix product.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pixelproof.detect.neighbours.metrics import ORDER, Metric, join, join_keys, share
from pixelproof.detect.neighbours.nearest import NearestRows, check_rows
from pixelproof.detect.storage import read, write
from pixelproof.errors import BadInput, CorruptFile

ROWS = 16_384  # rows per block: with 512 queries its distances (32 MB) are still near the cache when top-k reads them
QUERIES = 512
PIECE = 1024  # candidates of one query whose differences are held at once
SPARE = 8  # candidates beyond k whose distances are computed again, so that rounding seldom hides a neighbour
EPSILON = torch.finfo(torch.float32).eps


class ExactIndex:
    """Exact search in memory, or in a memory-mapped table; rows live on the device they came on."""

    def __init__(self, dimension: int, metric: Metric = "euclidean", device: torch.device | None = None) -> None:
        self.metric: Metric = metric
        self.rows = torch.empty(0, dimension, device=device)
        self.ids = torch.empty(0, dtype=torch.long)
        self._measure()

    def __len__(self) -> int:
        return len(self.ids)

    def add(self, rows: Float[Tensor, "n d"], ids: Int[Tensor, " n"]) -> None:
        """Put rows in under new ids; raises BadInput for rows of another length, NaN or infinity, and known ids."""
        check_rows(rows, ids, self.rows.shape[1])
        if torch.isin(ids, self.ids).any() or len(set(ids.tolist())) < len(ids):
            raise BadInput("index", "ids must be new and different", "an id that is already taken")
        rows = self.prepared(rows)
        first = not len(self)
        self.rows = rows if first else torch.cat([self.rows, rows])
        self.ids = ids.clone() if first else torch.cat([self.ids, ids])
        self._measure()

    def remove(self, ids: Int[Tensor, " m"]) -> None:
        """Take rows out; raises BadInput for an id that is not there."""
        if not torch.isin(ids, self.ids).all():
            raise BadInput("index", "only ids of the index can be removed", ids[~torch.isin(ids, self.ids)].tolist())
        keep = ~torch.isin(self.ids, ids)
        self.rows, self.ids = self.rows[keep.to(self.rows.device)], self.ids[keep]
        self._measure()

    def search(self, queries: Float[Tensor, "q d"], k: int) -> NearestRows:
        """The k nearest rows of each query; raises BadInput when k is larger than the index."""
        return search_together([self], [1.0], [queries], k)[0]

    def prepared(self, rows: Tensor) -> Tensor:
        """Rows as they are stored and compared: float32 on the index's device, of length one for cosine."""
        rows = rows.detach().to(self.rows.device).float()
        return torch.nn.functional.normalize(rows, dim=1) if self.metric == "cosine" else rows

    def places(self, ids: Int[Tensor, "*shape"]) -> Int[Tensor, "*shape"]:
        """Where the rows with these ids stand in the table."""
        order = self.ids.argsort()
        found: Tensor = order[torch.searchsorted(self.ids[order], ids)]
        return found

    def keys(self, queries: Tensor, start: int, stop: int) -> Tensor:
        """What rows start..stop are ordered by, per query: a distance, or one without the terms equal for all rows."""
        rows = self.rows[start:stop]
        if self.metric in ("euclidean", "cosine"):
            scale = -2.0 if self.metric == "euclidean" else -1.0  # half of the squared chord is the cosine distance
            return torch.addmm(self.offset[start:stop], queries - self.centre, rows.T, alpha=scale)
        return torch.cdist(queries, rows, p=1.0 if self.metric == "manhattan" else float("inf"))

    def rounding(self, queries: Tensor, within: Tensor) -> Tensor:
        """How far rounding may move the key of a row that lies `within` that distance of its query (q)."""
        unit: float = EPSILON * (
            4 + self.rows.shape[1] ** 0.5 / 4
        )  # sums of d products: their roundings walk at random
        if self.metric not in ("euclidean", "cosine"):
            return unit * within
        cosine = self.metric == "cosine"
        size = torch.linalg.vector_norm(queries - self.centre, dim=1)
        near = size + (2 * within.clamp_min(0)).sqrt() if cosine else size + within
        moved: Tensor = unit * (near.square() + 2 * size * (self.centre.norm() + near))
        return moved / 2 if cosine else moved

    def between(self, queries: Tensor, places: Tensor) -> Tensor:
        """Distances (q, k) of each query to its own candidates at `places` (q, k), from their differences."""
        found = []
        for query, place in zip(torch.split(queries, 64), torch.split(places, 64), strict=True):
            change = self.rows[place].sub_(query[:, None])
            if self.metric == "cosine":
                found.append(change.square().sum(2) / 2 + self.blank[place] + blank(query)[:, None])
                continue
            found.append(torch.linalg.vector_norm(change, ord=ORDER[self.metric], dim=2))
        return torch.cat(found)

    def _measure(self) -> None:
        """The rows' mean and each row's squared distance from it, on which keys are built."""
        parts = torch.split(self.rows, ROWS)
        self.centre = torch.zeros_like(self.rows[:1]).sum(0)
        self.offset = self.rows.new_zeros(len(self.rows))
        self.blank = self.offset
        if self.metric not in ("euclidean", "cosine") or not len(self.rows):
            return
        self.centre = sum((part.mean(0) * (len(part) / len(self.rows)) for part in parts), self.centre)
        self.offset = torch.cat([(part - self.centre).square().sum(1) for part in parts])
        if self.metric == "cosine":
            self.blank = torch.cat([blank(part) for part in parts])
            self.offset = self.offset / 2 + self.blank

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


def blank(rows: Tensor) -> Tensor:
    """Half for a row of zeros, which has no direction: its cosine distance is 1, its chord to a unit row gives half."""
    return (rows == 0).all(1).to(rows.dtype) / 2


def search_together(
    indexes: Sequence[ExactIndex], weights: Sequence[float], queries: Sequence[Tensor], k: int
) -> list[NearestRows]:
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
        results.append(NearestRows(first.ids[places], torch.cat([found[1] for found in one]).cpu()))
    return results


def _search_block(
    indexes: Sequence[ExactIndex], weights: Sequence[float], queries: list[Tensor], k: int
) -> list[tuple[Tensor, Tensor]]:
    """Places and distances of the k best rows for a block of queries, per index and together."""
    n = len(indexes[0])
    each = [SearchSpace(indexes[place : place + 1], weights[place : place + 1]) for place in range(len(indexes))]
    spaces = each if len(each) == 1 else [*each, SearchSpace(indexes, weights)]
    asked = [[rows] for rows in queries] if len(each) == 1 else [*([rows] for rows in queries), queries]
    wanted = min(k + SPARE, n)
    kept: list[list[tuple[Tensor, Tensor]]] = [[] for _ in spaces]
    for start in range(0, n, ROWS):
        stop = min(start + ROWS, n)
        keys = [index.keys(rows, start, stop) for index, rows in zip(indexes, queries, strict=True)]
        if len(spaces) > len(keys):
            keys.append(join_keys(keys, weights, indexes[0].metric))
        for entry, key in zip(kept, keys, strict=True):
            best, place = key.topk(min(wanted, stop - start), largest=False, sorted=False)
            entry.append((best, place + start))
    results = []
    for space, entry, own in zip(spaces, kept, asked, strict=True):
        best, place = (torch.cat(items, 1) for items in zip(*entry, strict=True))
        best, chosen = best.topk(wanted, largest=False, sorted=False)
        results.append(space.settled(own, place.gather(1, chosen), best, k))
    return results


@dataclass(frozen=True, eq=False)
class SearchSpace:
    """One index, or several over the same ids whose distances are joined."""

    indexes: Sequence[ExactIndex]
    weights: Sequence[float]

    def settled(self, queries: list[Tensor], place: Tensor, key: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """The k nearest of the candidates at `place`, which have the lowest keys, or of all rows where that is open."""
        nearest, distance, order = self.ordered(queries, place, k)
        n, metric = len(self.indexes[0]), self.indexes[0].metric
        if place.shape[1] == n:
            return nearest, distance
        errors = [
            index.rounding(rows, share(distance[:, -1], weight if len(queries) > 1 else 1.0, len(queries), metric))
            for index, weight, rows in zip(self.indexes, self.weights, queries, strict=True)
        ]
        error = errors[0] if len(errors) == 1 else join_keys(errors, self.weights, metric)
        bound = key.gather(1, order).amax(1) + 2 * error  # every row as near as the k-th has a key below this
        for row in (key.amax(1) <= bound).nonzero()[:, 0].tolist():
            alone = [rows[row : row + 1] for rows in queries]
            keys = [index.keys(rows, 0, n) for index, rows in zip(self.indexes, alone, strict=True)]
            whole = keys[0] if len(keys) == 1 else join_keys(keys, self.weights, metric)
            places = (whole[0] <= bound[row]).nonzero()[:, 0][None]
            if places.shape[1] >= k:
                nearest[row : row + 1], distance[row : row + 1], _ = self.ordered(alone, places, k)
        return nearest, distance

    def ordered(self, queries: list[Tensor], place: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor]:
        """The k nearest of the rows at `place`: places, distances, and where they stood; equal ones by the lower id."""
        own = self.indexes[0].ids.to(place.device)[place].argsort(1)
        sorted_ = place.gather(1, own)
        parts = []
        for piece in torch.split(sorted_, PIECE, 1):
            each = [index.between(rows, piece) for index, rows in zip(self.indexes, queries, strict=True)]
            parts.append(each[0] if len(each) == 1 else join(each, self.weights, self.indexes[0].metric))
        distance, order = torch.cat(parts, 1).sort(dim=1, stable=True)
        order = order[:, :k]
        return sorted_.gather(1, order), distance[:, :k], own.gather(1, order)
