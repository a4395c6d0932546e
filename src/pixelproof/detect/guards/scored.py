"""A guard made of one number per image: a scorer, and the calibration that turns scores into alarms."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import ClassVar, Protocol, runtime_checkable

import torch

from pixelproof.data import Dataset
from pixelproof.detect.guards.guard import Calibration, SameModel, Verdict
from pixelproof.detect.guards.settings import respelled, spelled
from pixelproof.detect.neighbours.layers import batch_of
from pixelproof.errors import BadInput
from pixelproof.models import Classifier, frozen
from pixelproof.types import Images, PerImage, check_images


@runtime_checkable
class Scorer(Protocol):
    """How strange each image is to a model: higher is stranger.

    Written with torch operations on the images' device and, wherever the method allows it, differentiable: an attack
    that knows the detector follows its gradient.
    """

    def __call__(self, model: Classifier, images: Images) -> PerImage:
        """One score per image."""
        ...


@runtime_checkable
class Settings(Protocol):
    """A detector with a name and a false-alarm rate."""

    name: ClassVar[str]

    @property
    def rate(self) -> float:
        """The share of clean images that may be alarmed."""
        ...


@dataclass(frozen=True, eq=False)
class ScoreGuard:
    """The guard of a scorer: an image is alarmed when its score is above what clean images have.

    `spec` is the detector with every setting as it was used, also those that the fit chose.
    """

    detector: str
    scorer: Scorer
    calibration: Calibration
    model: SameModel = field(repr=False)
    spec: str = ""

    def __call__(self, model: Classifier, images: Images) -> Verdict:
        """Scores, alarms and p-values; nothing is recovered."""
        self.model.check(self.detector, model)
        return self.calibration.judge(scores(self.scorer, model, images))

    def calibrated(self, model: Classifier, clean: Dataset, *, rate: float | None = None) -> ScoreGuard:
        """The same guard with its threshold set on other clean images, which the model was not trained on.

        A network is surer of its training images, so a threshold set on them gives more alarms on fresh ones.
        """
        self.model.check(self.detector, model)
        kept = self.calibration
        found = scores(self.scorer, model, clean.images)
        return replace(
            self,
            spec=respelled(self.spec, "rate", rate or kept.rate),
            calibration=Calibration(found, rate or kept.rate, kept.two_sided),
        )


def guard(used: Settings, scorer: Scorer, model: Classifier, clean: Dataset, *, two_sided: bool = False) -> ScoreGuard:
    """The guard of a scorer, calibrated on `clean` images that the scorer was not fitted on.

    `used` is the detector with the settings that the fit chose filled in.
    """
    check_fit(used.name, model, clean)
    calibration = Calibration(scores(scorer, model, clean.images), used.rate, two_sided)
    return ScoreGuard(used.name, scorer, calibration, SameModel(model), spelled(used))


def scores(scorer: Scorer, model: Classifier, images: Images) -> PerImage:
    """The scores of any number of images, on the CPU; the model's mode and its parameters' gradients are kept."""
    check_images("detect", images)
    batch = batch_of(math.prod(images.shape[1:]))
    with frozen(model), torch.no_grad():
        parts = [scorer(model, part.to(model.device)).detach().cpu().float() for part in torch.split(images, batch)]
    return torch.cat(parts)


def check_fit(who: str, model: Classifier, clean: Dataset) -> None:
    """Refuse data of another shape or another number of classes than the model's."""
    if clean.shape != model.card.input_shape or len(clean.classes) != len(model.card.classes):
        expected = f"{model.card.name} expects images {model.card.input_shape}, {len(model.card.classes)} classes"
        raise BadInput(who, expected, f"{clean.shape}, {len(clean.classes)} classes")
