"""How far the neighbours are, whatever their class: the k-th distance, and the local intrinsic dimensionality."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from pixelproof.attacks import AdversarialSet
from pixelproof.data import Dataset
from pixelproof.detect.guards.guard import Part, divide
from pixelproof.detect.guards.scored import ScoreGuard, guard
from pixelproof.detect.guards.settings import MOST, check_settings
from pixelproof.detect.neighbours.index import ExactIndex
from pixelproof.detect.neighbours.layers import features, hidden_layer
from pixelproof.detect.neighbours.store import Store
from pixelproof.errors import BadInput
from pixelproof.models import Classifier
from pixelproof.specs import derived
from pixelproof.types import Images, PerImage


@dataclass(frozen=True, eq=False)
class Radius:
    """The scorer of NeighbourDistance."""

    layer: str
    index: ExactIndex
    k: int

    def __call__(self, model: Classifier, images: Images) -> PerImage:
        """Distances to the k-th neighbour."""
        rows = torch.nn.functional.normalize(features(model, images, [self.layer])[0][self.layer], dim=1)
        return nearest(self.index, rows, self.k)[:, -1]


@dataclass(frozen=True, eq=False)
class Dimension:
    """The scorer of LocalDimension."""

    layer: str
    index: ExactIndex
    k: int

    def __call__(self, model: Classifier, images: Images) -> PerImage:
        """Estimated dimensions."""
        return dimension(nearest(self.index, features(model, images, [self.layer])[0][self.layer], self.k))


@dataclass(frozen=True)
class NeighbourDistance:
    """Distance to the k-th nearest training image in a layer, rows normalised (Sun et al. 2022, arXiv 2204.06507).

    Two-sided: an attack that matches the activations of a training image lies closer to it than any clean image.
    """

    k: int = 50
    layer: str | None = field(default=None, metadata=derived("the last hidden dense layer"))
    two_sided: bool = True
    rate: float = 0.05

    name: ClassVar[str] = "distance"
    parts: ClassVar[tuple[Part, ...]] = (Radius,)

    def __post_init__(self) -> None:
        check_settings(self, {"k": (1, MOST)})

    def fit(
        self, model: Classifier, clean: Dataset, attacked: AdversarialSet | None, rng: torch.Generator
    ) -> ScoreGuard:
        """The guard over the correctly classified images of three quarters of `clean`."""
        fitted, held = divide(clean, rng)
        check_rows_for(self.name, self.k, fitted)
        layer = self.layer or hidden_layer(model)
        index = normalised_index(model, fitted, layer)
        used = replace(self, layer=layer)
        return guard(used, Radius(layer, index, self.k), model, held, two_sided=self.two_sided)


@dataclass(frozen=True)
class LocalDimension:
    """Local intrinsic dimensionality of a layer's activations among training images (Ma et al. 2018, arXiv 1801.02613).

    -1 / mean(log(r_i / r_k)) over the k nearest distances. Departures: neighbours come from all training images
    instead of one batch, one layer, and no logistic regression on adversarial images.
    """

    k: int = 20
    layer: str | None = field(default=None, metadata=derived("the last hidden dense layer"))
    two_sided: bool = False
    rate: float = 0.05

    name: ClassVar[str] = "lid"
    parts: ClassVar[tuple[Part, ...]] = (Dimension,)

    def __post_init__(self) -> None:
        check_settings(self, {"k": (2, MOST)})

    def fit(
        self, model: Classifier, clean: Dataset, attacked: AdversarialSet | None, rng: torch.Generator
    ) -> ScoreGuard:
        """The guard over the correctly classified images of three quarters of `clean`."""
        fitted, held = divide(clean, rng)
        check_rows_for(self.name, self.k, fitted)
        layer = self.layer or hidden_layer(model)
        (index,) = Store.build(model, fitted, [layer]).indexes
        assert isinstance(index, ExactIndex)
        used = replace(self, layer=layer)
        return guard(used, Dimension(layer, index, self.k), model, held, two_sided=self.two_sided)


def check_rows_for(who: str, k: int, fitted: Dataset) -> None:
    """Refuse more neighbours than there are images to look among, before any is looked at."""
    if k > len(fitted):
        raise BadInput(who, f"k must be at most {len(fitted)}, the training images", k, "Lower k, or give more images.")


def dimension(distances: Float[Tensor, "n k"]) -> PerImage:
    """Maximum-likelihood intrinsic dimension from the k nearest distances, nearest first (Amsaleg et al. 2015)."""
    ratio = distances.clamp_min(1e-12) / distances[:, -1:].clamp_min(1e-12)
    return -1 / ratio.log().mean(1).clamp_max(-1e-6)


def nearest(index: ExactIndex, rows: Float[Tensor, "n d"], k: int) -> Float[Tensor, "n k"]:
    """Distances to the k nearest rows of an index whose ids are 0..n-1, in the graph of `rows`."""
    places = index.search(rows.detach(), k).ids.to(rows.device)
    return index.between(rows, places)


def normalised_index(model: Classifier, data: Dataset, layer: str) -> ExactIndex:
    """An index over the layer's rows of correctly classified images, each divided by its length."""
    (plain,) = Store.build(model, data, [layer]).indexes
    assert isinstance(plain, ExactIndex)
    index = ExactIndex(plain.rows.shape[1])
    index.add(torch.nn.functional.normalize(plain.rows, dim=1), plain.ids)
    return index
