"""Several guards as one: each score is first put on the scale of clean images, then they are joined."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

import torch
from torch import Tensor

from pixelproof import specs
from pixelproof.attacks import AdversarialSet
from pixelproof.data import Dataset
from pixelproof.detect.guards.guard import NONE, Calibration, Detector, Guard, Part, SameModel, Verdict, divide
from pixelproof.detect.guards.scored import check_fit
from pixelproof.detect.guards.settings import check_settings, respelled, spelled
from pixelproof.draws import rng_of
from pixelproof.errors import BadInput
from pixelproof.models import Classifier
from pixelproof.types import Images, PerImage

How = Literal["max", "sum"]


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


@dataclass(frozen=True, eq=False)
class EnsembleGuard:
    """Fitted members with the scale of each and the calibration of what they say together.

    `spec` has the ensemble's own settings; each member's guard has its own.
    """

    members: tuple[Guard, ...]
    scales: tuple[Surprise, ...]
    how: How
    calibration: Calibration
    model: SameModel = field(repr=False)
    spec: str = ""

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
        reference, held = divide(clean, rng_of(0), share=0.5)
        scales = tuple(Surprise.of(member(model, reference.images).score) for member in self.members)
        scored = joined([member(model, held.images).score for member in self.members], scales, self.how)
        return replace(
            self,
            spec=respelled(self.spec, "rate", rate or self.calibration.rate),
            scales=scales,
            calibration=Calibration(scored, rate or self.calibration.rate),
        )


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
    parts: ClassVar[tuple[Part, ...]] = (
        EnsembleGuard,
        Surprise,
    )

    def __post_init__(self) -> None:
        check_settings(self)
        for member in self.made:
            if member.name == self.name:
                raise BadInput(self.name, "needs members other than itself", ", ".join(self.members))

    @property
    def made(self) -> tuple[Detector, ...]:
        """The members, made from their specs: one that cannot be right is refused with the ensemble."""
        from pixelproof.detect import DETECTORS  # the table holds this class, too

        return tuple(specs.parse(member, DETECTORS, "detector") for member in self.members)

    def fit(
        self, model: Classifier, clean: Dataset, attacked: AdversarialSet | None, rng: torch.Generator
    ) -> EnsembleGuard:
        """The guard: three quarters of `clean` fit the members, an eighth is their scale, an eighth calibrates."""
        check_fit(self.name, model, clean)
        fitted, held = divide(clean, rng)
        reference, calibration = divide(held, rng, share=0.5)
        guards = tuple(member.fit(model, fitted, attacked, rng) for member in self.made)
        scales = tuple(Surprise.of(guard(model, reference.images).score) for guard in guards)
        scored = joined([guard(model, calibration.images).score for guard in guards], scales, self.how)
        return EnsembleGuard(guards, scales, self.how, Calibration(scored, self.rate), SameModel(model), spelled(self))


def joined(scores: list[PerImage], scales: tuple[Surprise, ...], how: How) -> PerImage:
    """One score from the members' scores."""
    surprises = torch.stack([scale(score) for scale, score in zip(scales, scores, strict=True)])
    return surprises.amax(0) if how == "max" else surprises.sum(0)
