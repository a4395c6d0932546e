"""Store: the activations of the correctly classified training images, one index per layer, and where they come from."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pixelproof.data import Dataset
from pixelproof.detect.neighbours.engines import Faiss
from pixelproof.detect.neighbours.index import ExactIndex, search_together
from pixelproof.detect.neighbours.layers import MEAN, activations, batch_of, check_memory, widths
from pixelproof.detect.neighbours.metrics import Metric, apart, join
from pixelproof.detect.neighbours.nearest import Index, NearestRows
from pixelproof.detect.storage import accepted, mapped, read, write
from pixelproof.errors import BadInput, CorruptFile, UnknownName
from pixelproof.models import Classifier

COMPOSED = "composed"
STREAM = 2500  # images that are looked at at once while a store is built

Engine = Literal["exact", "faiss"]
Progress: TypeAlias = Callable[[int, int], None]


@dataclass(eq=False)
class Store:
    """One index per layer over the same images; row r is image `origin[r]` of the original file, of class `labels[r]`.

    The composed layer joins all layers, each divided by its mean norm (`weights`). The exact engine searches it
    without storing it; FAISS holds it as an index of its own.
    """

    layers: tuple[str, ...]
    indexes: tuple[Index, ...]
    weights: tuple[float, ...]
    origin: Int[Tensor, " rows"]
    labels: Int[Tensor, " rows"]
    digest: str

    @classmethod
    def build(
        cls,
        model: Classifier,
        data: Dataset,
        layers: Sequence[str],
        *,
        metric: Metric = "euclidean",
        engine: Engine = "exact",
        folder: Path | None = None,
        progress: Progress | None = None,
    ) -> Store:
        """The store of the images of `data` that the model classifies correctly.

        With a `folder` the activations are written to memory-mapped files there, part by part, for tables that do not
        fit in memory. Raises BadInput when a class has no correctly classified image: its images would always look
        strange.
        """
        if folder is None:
            size = {name.removesuffix(MEAN) for name in layers}
            pooled = {name for name in layers if name.endswith(MEAN)}
            check_memory(widths(model, sorted(size - {name.removesuffix(MEAN) for name in pooled})), len(data))
        if engine == "faiss" and (metric != "euclidean" or folder is not None):
            raise BadInput("store", "faiss is for Euclidean distances in memory", f"{metric}, folder={folder}")
        if folder is None:
            rows, correct = _rows(model, data, layers, progress)
        else:
            correct = model.predict(data.images).argmax(1) == data.labels
            rows = _mapped_rows(model, data[correct], layers, folder)
        check_classes(data, correct)
        weights = tuple(1 / max(_mean_norm(rows[layer]), 1e-12) for layer in layers)
        tables = [rows[layer] for layer in layers]
        if engine == "faiss":
            tables.append(_concatenated(tables, weights))
        ids = torch.arange(int(correct.sum()))
        indexes = []
        for table in tables:
            index: Index = Faiss(table.shape[1]) if engine == "faiss" else ExactIndex(table.shape[1], metric)
            index.add(table, ids)
            indexes.append(index)
        return cls(tuple(layers), tuple(indexes), weights, data.index[correct], data.labels[correct], model.digest())

    def __len__(self) -> int:
        return len(self.indexes[0])

    @property
    def spaces(self) -> tuple[str, ...]:
        """The layers and, last, the composed layer."""
        return (*self.layers, COMPOSED)

    def only(self, layer: str) -> Store:
        """The same images in one layer alone, which is then the composed layer, too."""
        if layer not in self.layers:
            raise UnknownName("store", "layer", layer, self.layers)
        own = self.indexes[self.layers.index(layer)]
        indexes = (own,) if isinstance(own, ExactIndex) else (own, own)
        return Store((layer,), indexes, (1.0,), self.origin, self.labels, self.digest)

    def search(self, rows: Sequence[Tensor], k: int) -> list[NearestRows]:
        """The k nearest images in every layer (`rows` in the order of `layers`) and in the composed layer."""
        exact = [index for index in self.indexes if isinstance(index, ExactIndex)]
        if len(exact) == len(self.indexes):
            found = search_together(exact, self.weights, rows, k)
            return found if len(exact) > 1 else [found[0], found[0]]
        tables = [*rows, _concatenated(rows, self.weights)]
        return [index.search(table, k) for index, table in zip(self.indexes, tables, strict=True)]

    def apart(self, rows: Sequence[Tensor], others: Sequence[Tensor]) -> Float[Tensor, "n spaces"]:
        """How far each row lies from its partner in every layer and the composed layer, in the store's metric."""
        own = self.indexes[0]
        metric: Metric = own.metric if isinstance(own, ExactIndex) else "euclidean"
        each = [apart(one, other, metric) for one, other in zip(rows, others, strict=True)]
        return torch.stack([*each, join(each, self.weights, metric)], 1)

    def add(self, model: Classifier, data: Dataset) -> None:
        """Put the correctly classified images of `data` in; nothing is built again, and the weights stay."""
        rows, logits = activations(model, data.images, self.layers)
        correct = logits.argmax(1) == data.labels
        tables = [rows[layer][correct] for layer in self.layers]
        if len(self.indexes) > len(tables):
            tables.append(_concatenated(tables, self.weights))
        ids = len(self.origin) + torch.arange(int(correct.sum()))
        for index, table in zip(self.indexes, tables, strict=True):
            index.add(table, ids)
        self.origin = torch.cat([self.origin, data.index[correct]])
        self.labels = torch.cat([self.labels, data.labels[correct]])

    def remove(self, origin: Tensor) -> None:
        """Take out the images at these positions of the original file; raises BadInput for one that is not there."""
        ids = torch.isin(self.origin, origin).nonzero()[:, 0]
        if len(ids) < len(origin):
            raise BadInput("store", "only images of the store can be removed", f"{len(origin) - len(ids)} unknown")
        for index in self.indexes:
            index.remove(ids)

    def save(self, folder: Path) -> None:
        """Write one file per index and, last, store.safetensors: a folder without it was not finished."""
        (folder / "store.safetensors").unlink(missing_ok=True)
        for number, index in enumerate(self.indexes):
            index.save(folder / f"layer{number}.safetensors", self.digest)
        facts = {
            "digest": self.digest,
            "layers": self.layers,
            "weights": self.weights,
            "rows": len(self),
            "engine": "exact" if isinstance(self.indexes[0], ExactIndex) else "faiss",
        }
        write(folder / "store.safetensors", {"origin": self.origin, "labels": self.labels}, facts)

    @classmethod
    def load(cls, folder: Path, model: Classifier) -> Store:
        """The store in a folder; raises CorruptFile for an unfinished one and BadInput for another model's."""
        path = folder / "store.safetensors"
        if not path.is_file():
            raise CorruptFile(str(folder), "expected a finished store", "no store.safetensors", "Build it again.")
        digest = accepted(path, model)
        tensors, facts = read(path, digest)
        kind: type[ExactIndex] | type[Faiss] = ExactIndex if facts["engine"] == "exact" else Faiss
        count = len(facts["layers"]) + (kind is Faiss)
        indexes = tuple(kind.load(folder / f"layer{number}.safetensors", digest) for number in range(count))
        if any(len(index) != facts["rows"] for index in indexes):
            raise CorruptFile(str(folder), f"expected {facts['rows']} rows in every layer", "other numbers")
        weights, layers = tuple(facts["weights"]), tuple(facts["layers"])
        return cls(layers, indexes, weights, tensors["origin"], tensors["labels"], model.digest())


def check_classes(data: Dataset, correct: Tensor) -> None:
    """Refuse training images of which a whole class is misclassified or missing."""
    there = torch.bincount(data.labels, minlength=len(data.classes))
    absent = [data.classes[label] for label in (there == 0).nonzero()[:, 0].tolist()]
    if absent:
        do = "Give images of every class, or leave such classes out of the data set and of the network."
        raise BadInput("store", "every class needs training images", f"no image at all of {named(absent)}", do)
    counts = torch.bincount(data.labels[correct], minlength=len(data.classes))
    lost = [data.classes[label] for label in (counts == 0).nonzero()[:, 0].tolist()]
    if lost:
        expected = "every class needs a correctly classified training image"
        raise BadInput("store", expected, f"none of {named(lost)}", "Train the model longer or give more images.")


def named(classes: Sequence[str], most: int = 8) -> str:
    """Class names in quotes, or the first of them and how many more there are."""
    rest = f" and {len(classes) - most} more classes" if len(classes) > most else ""
    return ", ".join(f"'{name}'" for name in classes[:most]) + rest


def _rows(
    model: Classifier, data: Dataset, layers: Sequence[str], progress: Progress | None
) -> tuple[dict[str, Tensor], Tensor]:
    """Activations of the correctly classified images, and which those are."""
    parts: dict[str, list[Tensor]] = {layer: [] for layer in layers}
    right: list[Tensor] = []
    done = 0
    for part in data.batches(batch_of(math.prod(data.shape), STREAM)):
        rows, logits = activations(model, part.images, layers)
        right.append(logits.argmax(1) == part.labels)
        for layer in layers:
            parts[layer].append(rows[layer][right[-1]])
        done += len(part)
        if progress is not None:
            progress(done, len(data))
    return {layer: torch.cat(parts[layer]) for layer in layers}, torch.cat(right)


def _mapped_rows(model: Classifier, data: Dataset, layers: Sequence[str], folder: Path) -> dict[str, Tensor]:
    """Activations of `data` in one memory-mapped file per layer; each layer costs a forward pass."""

    def parts(layer: str) -> Iterator[Tensor]:
        for part in data.batches(batch_of(math.prod(data.shape), STREAM)):
            yield activations(model, part.images, [layer])[0][layer]

    width = {layer: rows.shape[1] for layer, rows in activations(model, data[:1].images, layers)[0].items()}
    return {
        layer: mapped(folder / f"rows{number}.npy", parts(layer), len(data), width[layer])
        for number, layer in enumerate(layers)
    }


def _mean_norm(rows: Tensor) -> float:
    return float(torch.linalg.vector_norm(rows, dim=1).mean())


def _concatenated(tables: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    return torch.cat([table * weight for table, weight in zip(tables, weights, strict=True)], 1)
