"""Other search engines behind the same Protocol: FAISS for speed, Qdrant for tables beyond one machine.

Both are optional and imported when they are used. FAISS brings its own OpenMP runtime: on macOS do not use it in one
process with torch (faiss-wheels issue 73).
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pixelproof.detect.neighbours.index import SPARE, ExactIndex, SearchSpace
from pixelproof.detect.neighbours.nearest import NearestRows, check_rows
from pixelproof.detect.storage import read, write
from pixelproof.errors import BadInput, CorruptFile

HNSW_LINKS = 32
IVF_CELLS = 256


class Faiss:
    """A FAISS index of Euclidean distances on the CPU (Douze et al. 2024, arXiv 2401.08281).

    "flat" is exact; "hnsw" and "ivf" are approximate: measure what they miss with `recall`. `effort` is efSearch or
    nprobe. An ivf index learns its cells from the first rows added and needs at least 256 of them; hnsw cannot remove.

    FAISS only names candidates, on rows less the mean of the first ones: for many queries its distances come from
    |q|^2 - 2 q.x + |x|^2 and have lost their digits. Distances and order are those of an `ExactIndex` beside it (which
    costs the rows' memory once more), so they do not depend on how many queries are asked together.
    """

    def __init__(self, dimension: int, kind: Literal["flat", "hnsw", "ivf"] = "flat", *, effort: int = 64) -> None:
        self.faiss = _extra("faiss")
        self.dimension, self.kind, self.effort = dimension, kind, effort
        flat = self.faiss.IndexFlatL2(dimension)
        if kind == "hnsw":
            inner = self.faiss.IndexHNSWFlat(dimension, HNSW_LINKS)
            inner.hnsw.efSearch = effort
        elif kind == "ivf":
            self._quantiser = flat
            inner = self.faiss.IndexIVFFlat(flat, dimension, IVF_CELLS)
            inner.nprobe = effort
        else:
            inner = flat
        self._inner = inner
        self._index = self.faiss.IndexIDMap2(inner)
        self.centre = torch.zeros(dimension)
        self.table = ExactIndex(dimension)

    def __len__(self) -> int:
        return len(self.table)

    def add(self, rows: Float[Tensor, "n d"], ids: Int[Tensor, " n"]) -> None:
        """Put rows in under new ids."""
        check_rows(rows, ids, self.dimension)
        rows = rows.detach().cpu().float()
        if not len(self):
            self.centre = rows.mean(0)
        table = (rows - self.centre).contiguous().numpy()
        if not self._inner.is_trained:
            if len(table) < IVF_CELLS:
                raise BadInput("faiss", f"ivf learns from at least {IVF_CELLS} rows", len(table), "Use kind='flat'.")
            self._inner.train(table)
        self.table.add(torch.from_numpy(table), ids)
        self._index.add_with_ids(table, ids.numpy())

    def remove(self, ids: Int[Tensor, " m"]) -> None:
        """Take rows out; raises BadInput for hnsw, which cannot, and for an id that is not there."""
        if self.kind == "hnsw":
            raise BadInput("faiss", "an hnsw index cannot remove rows", "remove", "Use kind='flat', or build it again.")
        self.table.remove(ids)
        self._index.remove_ids(self.faiss.IDSelectorBatch(ids.numpy()))

    def search(self, queries: Float[Tensor, "q d"], k: int) -> NearestRows:
        """The k nearest rows of each query; raises BadInput when the index has fewer, or finds fewer."""
        if not 1 <= k <= len(self):
            raise BadInput("index", f"k must lie in 1..{len(self)}, the number of rows", k, "Lower k, or add rows.")
        check_rows(queries, torch.arange(len(queries)), self.dimension)
        asked = (queries.detach().cpu().float() - self.centre).contiguous()
        wanted = min(k + SPARE, len(self))
        keys, ids = (torch.from_numpy(found) for found in self._index.search(asked.numpy(), wanted))
        if (ids[:, :k] < 0).any():  # FAISS marks a missing neighbour with id -1; it must not be counted as a row
            raise BadInput("faiss", f"must find {k} rows per query", "fewer", "Raise effort.")
        ids = torch.where(ids < 0, ids[:, :1], ids)  # a spare candidate that is missing: the nearest once more
        place = self.table.places(ids)
        whole = SearchSpace([self.table], [1.0])
        if self.kind == "flat":
            nearest, distance = whole.settled([asked], place, keys, k)
        else:
            nearest, distance, _ = whole.ordered([asked], place, k)
        return NearestRows(self.table.ids[nearest], distance)

    def save(self, path: Path, digest: str) -> None:
        """Write the index to a safetensors file, whole or not at all."""
        facts = {"index": "faiss", "kind": self.kind, "dimension": self.dimension, "effort": self.effort}
        table = torch.from_numpy(self.faiss.serialize_index(self._index))
        write(path, {"faiss": table, "centre": self.centre}, {**facts, "digest": digest})

    @classmethod
    def load(cls, path: Path, digest: str) -> Faiss:
        """The index in a file; raises CorruptFile for a damaged file and BadInput for another model's."""
        tensors, facts = read(path, digest)
        if facts.get("index") != "faiss":
            raise CorruptFile(str(path), "expected a faiss index", f"'{facts.get('index')}'")
        found = cls(facts["dimension"], facts["kind"], effort=facts["effort"])
        found._index = found.faiss.deserialize_index(tensors["faiss"].numpy())
        found._inner = found.faiss.downcast_index(found._index.index)
        found.centre = tensors.get("centre", found.centre)  # files from before rows were centred have none
        ids = torch.from_numpy(found.faiss.vector_to_array(found._index.id_map))
        found.table.add(torch.from_numpy(found._inner.reconstruct_n(0, len(ids))), ids)
        return found


class Qdrant:
    """A collection of a Qdrant server, or of the client's own memory (for tests: it is pure Python).

    `place` is ":memory:", a folder, or the server's URL; see docs/detect.md for starting one. Rows stay where the
    engine keeps them, so `save` only says so.
    """

    BLOCK = 256

    def __init__(self, dimension: int, collection: str, place: str = ":memory:") -> None:
        self.module = _extra("qdrant_client")
        kinds = self.module.models
        self.dimension, self.collection = dimension, collection
        self.served = "://" in place
        key = "url" if self.served else "location" if place == ":memory:" else "path"
        self.client = self.module.QdrantClient(**{key: place})
        if not self.client.collection_exists(collection):
            space = kinds.VectorParams(size=dimension, distance=kinds.Distance.EUCLID)
            self.client.create_collection(collection, vectors_config=space)

    def __len__(self) -> int:
        return int(self.client.count(self.collection, exact=True).count)

    def add(self, rows: Float[Tensor, "n d"], ids: Int[Tensor, " n"]) -> None:
        """Put rows in under new ids."""
        check_rows(rows, ids, self.dimension)
        for start in range(0, len(rows), self.BLOCK):
            pairs = zip(
                ids[start : start + self.BLOCK].tolist(), rows[start : start + self.BLOCK].tolist(), strict=True
            )
            points = [self.module.models.PointStruct(id=key, vector=row) for key, row in pairs]
            self.client.upsert(self.collection, points=points, wait=True)

    def remove(self, ids: Int[Tensor, " m"]) -> None:
        """Take rows out."""
        self.client.delete(self.collection, points_selector=ids.tolist(), wait=True)

    def search(self, queries: Float[Tensor, "q d"], k: int) -> NearestRows:
        """The k nearest rows of each query, asked for exactly (no graph search)."""
        if not 1 <= k <= len(self):
            raise BadInput("index", f"k must lie in 1..{len(self)}, the number of rows", k, "Lower k, or add rows.")
        check_rows(queries, torch.arange(len(queries)), self.dimension)
        kinds = self.module.models
        params = kinds.SearchParams(exact=True) if self.served else None  # the client's own memory is always exact
        wanted = min(k + SPARE, len(self))  # spare ones, so that near ties can be put in order
        asked = [
            kinds.QueryRequest(query=row, limit=wanted, params=params, with_vector=True) for row in queries.tolist()
        ]
        ids, distance = [], []
        for query, answer in zip(queries, self.client.query_batch_points(self.collection, requests=asked), strict=True):
            own = ExactIndex(self.dimension)
            own.add(
                torch.tensor([point.vector for point in answer.points]), torch.tensor([p.id for p in answer.points])
            )
            found = own.search(query[None], k)
            ids.append(found.ids)
            distance.append(found.distance)
        return NearestRows(torch.cat(ids), torch.cat(distance))

    def save(self, path: Path, digest: str) -> None:
        """Refused: the engine keeps its own files."""
        raise BadInput("qdrant", "keeps its rows itself", f"save to {path}", "Use the engine's snapshots.")


def _extra(module: str) -> Any:
    """An optional module, or BadInput that says how to get it."""
    try:
        return importlib.import_module(module)
    except ImportError as reason:
        extra = {"faiss": "faiss", "qdrant_client": "qdrant"}[module]
        raise BadInput(extra, "needs the extra", f"no {module}", f"pip install 'pixelproof[{extra}]'.") from reason
