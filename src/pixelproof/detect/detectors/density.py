"""Kernel density of a layer's activations among the training images of the predicted class (Feinman et al. 2017)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from pixelproof.attacks import AdversarialSet
from pixelproof.data import Dataset
from pixelproof.detect.guards.guard import Part, divide
from pixelproof.detect.guards.scored import ScoreGuard, guard
from pixelproof.detect.guards.settings import check_settings
from pixelproof.detect.neighbours.index import ExactIndex
from pixelproof.detect.neighbours.layers import features, hidden_layer
from pixelproof.detect.neighbours.store import Store
from pixelproof.models import Classifier
from pixelproof.specs import derived
from pixelproof.types import Images, PerImage

SAMPLE = 500  # rows from which the bandwidth is taken


@dataclass(frozen=True, eq=False)
class Rarity:
    """The scorer: minus the log density of each image in the class the model predicts for it."""

    layer: str
    rows: tuple[Float[Tensor, "_ d"], ...]
    bandwidth: float

    def __call__(self, model: Classifier, images: Images) -> PerImage:
        """Minus log densities, up to the constant of the kernel (equal for all images)."""
        found, logits = features(model, images, [self.layer])
        table, predicted = found[self.layer], logits.argmax(1)
        score = torch.zeros(len(images), device=images.device)
        for label in torch.unique(predicted).tolist():
            mine = predicted == label
            density = log_density(table[mine], self.rows[label].to(images.device), self.bandwidth)
            score = score.masked_scatter(mine, -density)
        return score


@dataclass(frozen=True)
class KernelDensity:
    """Minus the logarithm of the Gaussian kernel density in the predicted class (Feinman et al. 2017, 1703.00410).

    `bandwidth` defaults to the median distance to the nearest image of the same class in the layer: the paper tunes it
    on adversarial images. `layer` defaults to the last hidden dense layer.
    """

    bandwidth: float | None = field(
        default=None, metadata=derived("the median distance to the nearest image of the class")
    )
    layer: str | None = field(default=None, metadata=derived("the last hidden dense layer"))
    rate: float = 0.05

    name: ClassVar[str] = "density"
    parts: ClassVar[tuple[Part, ...]] = (Rarity,)

    def __post_init__(self) -> None:
        check_settings(self, {"bandwidth": (1e-12, 1e12)})

    def fit(
        self, model: Classifier, clean: Dataset, attacked: AdversarialSet | None, rng: torch.Generator
    ) -> ScoreGuard:
        """The guard over the correctly classified images of three quarters of `clean`."""
        fitted, held = divide(clean, rng)
        layer = self.layer or hidden_layer(model)
        store = Store.build(model, fitted, [layer])
        (index,) = store.indexes
        assert isinstance(index, ExactIndex)
        rows = tuple(index.rows[store.labels == label] for label in range(len(clean.classes)))
        bandwidth = self.bandwidth or spacing(rows)
        return guard(replace(self, bandwidth=bandwidth, layer=layer), Rarity(layer, rows, bandwidth), model, held)


def log_density(queries: Float[Tensor, "q d"], rows: Float[Tensor, "r d"], bandwidth: float) -> Float[Tensor, " q"]:
    """log(mean(exp(-|q - x|^2 / 2h^2))), the kernel's constant left out."""
    squares = queries.square().sum(1, keepdim=True) + rows.square().sum(1) - 2 * queries @ rows.T
    return (-squares.clamp_min(0) / (2 * bandwidth**2)).logsumexp(1) - math.log(len(rows))


def spacing(rows: tuple[Float[Tensor, "_ d"], ...]) -> float:
    """The median distance of an image to the nearest other one of its class."""
    distances = []
    for table in rows:
        if len(table) > 1:
            index = ExactIndex(table.shape[1])
            index.add(table, torch.arange(len(table)))
            distances.append(index.search(table[:SAMPLE], 2).distance[:, 1])
    return max(float(torch.cat(distances).median()), 1e-6) if distances else 1.0
