"""Distance to the nearest class in a layer, measured with the classes' common covariance (Lee et al. 2018)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from sklearn.covariance import ledoit_wolf
from torch import Tensor

from pixelproof.attacks import AdversarialSet
from pixelproof.data import Dataset
from pixelproof.detect.guards.guard import Part, divide
from pixelproof.detect.guards.scored import ScoreGuard, guard
from pixelproof.detect.guards.settings import check_settings
from pixelproof.detect.neighbours.layers import activations, features, hidden_layer
from pixelproof.detect.neighbours.store import check_classes
from pixelproof.models import Classifier
from pixelproof.specs import derived
from pixelproof.types import Images, PerImage


@dataclass(frozen=True, eq=False)
class Gaussian:
    """Means and one inverse Cholesky factor: distances are Euclidean ones of rows times `whitener`."""

    means: Float[Tensor, "classes d"]
    whitener: Float[Tensor, "d d"]

    @classmethod
    def of(cls, rows: Float[Tensor, "n d"], means: Float[Tensor, "classes d"], labels: Tensor) -> Gaussian:
        """The Gaussian of rows around the mean of their class."""
        centred = (rows - means[labels]).double()
        covariance = torch.from_numpy(ledoit_wolf(centred.numpy(), assume_centered=True)[0])
        covariance += 1e-8 * covariance.diagonal().mean().clamp_min(1e-12) * torch.eye(len(covariance))
        factor = torch.linalg.cholesky(covariance)
        whitener = torch.linalg.solve_triangular(factor, torch.eye(len(factor), dtype=torch.float64), upper=False)
        return cls(means, whitener.T.float())

    def nearest(self, rows: Float[Tensor, "n d"]) -> PerImage:
        """Squared distance of each row to the nearest mean."""
        whitener = self.whitener.to(rows.device)
        white = (rows - self.means.mean(0).to(rows.device)) @ whitener
        means = (self.means - self.means.mean(0)).to(rows.device) @ whitener
        return (white[:, None] - means).square().sum(2).amin(1)


@dataclass(frozen=True, eq=False)
class ClassDistance:
    """The scorer: distance to the nearest class, less the distance to the background where there is one."""

    layer: str
    classes: Gaussian
    background: Gaussian | None

    def __call__(self, model: Classifier, images: Images) -> PerImage:
        """Squared distances."""
        rows = features(model, images, [self.layer])[0][self.layer]
        near = self.classes.nearest(rows)
        return near if self.background is None else near - self.background.nearest(rows)


@dataclass(frozen=True)
class Mahalanobis:
    """Squared Mahalanobis distance of a layer's activations to class means (Lee et al. 2018, arXiv 1807.03888).

    `kind`: "nearest" is the paper's, to the nearest class mean; "relative" subtracts the distance to the mean of all
    images under their own covariance (Ren et al. 2021, arXiv 2106.09022). Departures: one layer and no logistic
    regression on adversarial images, a shrunk covariance (Ledoit & Wolf 2004), and a two-sided threshold, for attacks
    that imitate activations come too close. `layer` defaults to the last hidden dense layer.
    """

    layer: str | None = field(default=None, metadata=derived("the last hidden dense layer"))
    kind: Literal["nearest", "relative"] = "nearest"
    two_sided: bool = True
    rate: float = 0.05

    name: ClassVar[str] = "mahalanobis"
    parts: ClassVar[tuple[Part, ...]] = (Gaussian, ClassDistance)

    def __post_init__(self) -> None:
        check_settings(self)

    def fit(
        self, model: Classifier, clean: Dataset, attacked: AdversarialSet | None, rng: torch.Generator
    ) -> ScoreGuard:
        """The guard from the correctly classified images of three quarters of `clean`."""
        fitted, held = divide(clean, rng)
        layer = self.layer or hidden_layer(model)
        rows, logits = activations(model, fitted.images, [layer])
        correct = logits.argmax(1) == fitted.labels
        check_classes(fitted, correct)
        table, labels = rows[layer][correct], fitted.labels[correct]
        means = torch.stack([table[labels == label].mean(0) for label in range(len(fitted.classes))])
        background = None
        if self.kind == "relative":
            background = Gaussian.of(table, table.mean(0, keepdim=True), torch.zeros_like(labels))
        scorer = ClassDistance(layer, Gaussian.of(table, means, labels), background)
        return guard(replace(self, layer=layer), scorer, model, held, two_sided=self.two_sided)
