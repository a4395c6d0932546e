"""Several guards as one: each score is first put on the scale of clean images, then they are joined."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import ClassVar, Literal

import torch
from torch import Tensor

from pixelproof import specs
from pixelproof.attacks import AdversarialSet
from pixelproof.data import Dataset
from pixelproof.detect.detectors.confidence import LogitMargin, MaxSoftmax
from pixelproof.detect.detectors.consistency import GradientConsistency, NoiseConsistency, TransformConsistency
from pixelproof.detect.detectors.deep_neighbours import DeepNeighbours
from pixelproof.detect.detectors.density import KernelDensity
from pixelproof.detect.detectors.distance import LocalDimension, NeighbourDistance
from pixelproof.detect.detectors.mahalanobis import Mahalanobis
from pixelproof.detect.detectors.reconstruction import Reconstruction
from pixelproof.detect.detectors.repair import Repair
from pixelproof.detect.detectors.spectral import Spectral
from pixelproof.detect.detectors.squeezing import FeatureSqueezing
from pixelproof.detect.guards.guard import NONE, Calibration, Detector, Guard, SameModel, Verdict, divide
from pixelproof.detect.guards.scored import check_fit
from pixelproof.errors import BadInput
from pixelproof.models import Classifier
from pixelproof.types import Images, PerImage

How = Literal["max", "sum"]

MEMBERS: Mapping[str, Callable[..., Detector]] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            DeepNeighbours,
            MaxSoftmax,
            LogitMargin,
            Mahalanobis,
            NeighbourDistance,
            LocalDimension,
            KernelDensity,
            FeatureSqueezing,
            Reconstruction,
            TransformConsistency,
            NoiseConsistency,
            GradientConsistency,
            Spectral,
            Repair,
        )
    }
)


@dataclass(frozen=True, eq=False)
class Surprise:
    """Scores as -log of their share among clean reference scores, joined linearly; beyond all of them it goes on.

    Continuous, so that an attack can follow its gradient, and unbounded, so that strong scores keep their order.
    """

    values: Tensor
    heights: Tensor
    slope: float

    @classmethod
    def of(cls, reference: PerImage) -> Surprise:
        """The scale of the reference images' scores."""
        values, counts = torch.unique(reference.double().cpu(), return_counts=True)
        n = len(reference)
        at_least = n - counts.cumsum(0) + counts
        heights = -((at_least + 1) / (n + 1)).log()
        return cls(values, heights, 1 / max(float(reference.double().std()), 1e-6))

    def __call__(self, scores: PerImage) -> PerImage:
        """The surprise of each score, at least 0, in the graph of `scores`."""
        exact = scores.double()
        values, heights = self.values.to(exact.device), self.heights.to(exact.device)
        right = torch.searchsorted(values, exact.detach()).clamp(1, max(len(values) - 1, 1))
        right = right.clamp(max=len(values) - 1)
        left = (right - 1).clamp_min(0)
        share = ((exact - values[left]) / (values[right] - values[left]).clamp_min(1e-12)).clamp(0, 1)
        beyond = (exact - values[-1]).clamp_min(0) * self.slope
        return (heights[left] + share * (heights[right] - heights[left]) + beyond).float()


@dataclass(frozen=True)
class Ensemble:
    """The sum of several guards' surprises ("sum", after Fisher 1932), or the strangest answer alone ("max").

    `members` are specs of detectors, such as "margin" or "repair:most=64"; the first that recovers a class gives it
    (add "neighbours" for a class and evidence).
    """

    members: tuple[str, ...] = ("margin", "transform", "squeezing")
    how: How = "sum"
    rate: float = 0.05

    name: ClassVar[str] = "ensemble"

    def __post_init__(self) -> None:
        if not self.members or self.name in self.members:
            raise BadInput(self.name, "needs members other than itself", ", ".join(self.members) or "none")

    def fit(
        self, model: Classifier, clean: Dataset, attacked: AdversarialSet | None, rng: torch.Generator
    ) -> EnsembleGuard:
        """The guard: three quarters of `clean` fit the members, an eighth is their scale, an eighth calibrates."""
        check_fit(self.name, model, clean)
        fitted, held = divide(clean, rng)
        reference, calibration = divide(held, rng, share=0.5)
        guards = tuple(
            specs.parse(member, MEMBERS, "detector").fit(model, fitted, attacked, rng) for member in self.members
        )
        scales = tuple(Surprise.of(guard(model, reference.images).score) for guard in guards)
        scored = joined([guard(model, calibration.images).score for guard in guards], scales, self.how)
        return EnsembleGuard(guards, scales, self.how, Calibration(scored, self.rate), SameModel(model))


@dataclass(frozen=True, eq=False)
class EnsembleGuard:
    """Fitted members with the scale of each and the calibration of what they say together."""

    members: tuple[Guard, ...]
    scales: tuple[Surprise, ...]
    how: How
    calibration: Calibration
    model: SameModel = field(repr=False)

    def __call__(self, model: Classifier, images: Images) -> Verdict:
        """The verdict, with the class and the evidence of the first members that have them."""
        self.model.check("ensemble", model)
        verdicts = [member(model, images) for member in self.members]
        recovered = torch.full((len(images),), NONE)
        for verdict in verdicts:
            recovered = torch.where(recovered == NONE, verdict.recovered, recovered)
        evidence = next((verdict.evidence for verdict in verdicts if verdict.evidence), ())
        score = joined([verdict.score for verdict in verdicts], self.scales, self.how)
        named = recovered if any(verdict.recovers for verdict in verdicts) else None
        return self.calibration.judge(score, named, evidence)

    def calibrated(self, model: Classifier, clean: Dataset, *, rate: float | None = None) -> EnsembleGuard:
        """The same guard with scales and threshold set on other clean images, which the model was not trained on."""
        self.model.check("ensemble", model)
        reference, held = divide(clean, torch.Generator().manual_seed(0), share=0.5)
        scales = tuple(Surprise.of(member(model, reference.images).score) for member in self.members)
        scored = joined([member(model, held.images).score for member in self.members], scales, self.how)
        return replace(self, scales=scales, calibration=Calibration(scored, rate or self.calibration.rate))


def joined(scores: list[PerImage], scales: tuple[Surprise, ...], how: How) -> PerImage:
    """One score from the members' scores."""
    surprises = torch.stack([scale(score) for scale, score in zip(scales, scores, strict=True)])
    return surprises.amax(0) if how == "max" else surprises.sum(0)
