"""A guard made of one number per image: a scorer, and the calibration that turns scores into alarms."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

import torch

from pixelproof.data import Dataset
from pixelproof.detect.guards.guard import Calibration, SameModel, Verdict
from pixelproof.errors import BadInput
from pixelproof.models import Classifier, frozen
from pixelproof.types import Images, PerImage, check_images

BATCH = 250


@runtime_checkable
class Scorer(Protocol):
    """How strange each image is to a model: higher is stranger.

    Written with torch operations on the images' device and, wherever the method allows it, differentiable: an attack
    that knows the detector follows its gradient.
    """

    def __call__(self, model: Classifier, images: Images) -> PerImage:
        """One score per image."""
        ...


@dataclass(frozen=True, eq=False)
class ScoreGuard:
    """The guard of a scorer: an image is alarmed when its score is above what clean images have."""

    detector: str
    scorer: Scorer
    calibration: Calibration
    model: SameModel = field(repr=False)

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
        return replace(self, calibration=Calibration(found, rate or kept.rate, kept.two_sided))


def guard(
    detector: str, scorer: Scorer, model: Classifier, clean: Dataset, *, rate: float, two_sided: bool = False
) -> ScoreGuard:
    """The guard of a scorer, calibrated on `clean` images that the scorer was not fitted on."""
    check_fit(detector, model, clean)
    return ScoreGuard(
        detector, scorer, Calibration(scores(scorer, model, clean.images), rate, two_sided), SameModel(model)
    )


def scores(scorer: Scorer, model: Classifier, images: Images, batch: int = BATCH) -> PerImage:
    """The scores of any number of images, on the CPU; the model's mode and its parameters' gradients are kept."""
    check_images("detect", images)
    with frozen(model), torch.no_grad():
        parts = [scorer(model, part.to(model.device)).detach().cpu().float() for part in torch.split(images, batch)]
    return torch.cat(parts)


def check_fit(who: str, model: Classifier, clean: Dataset) -> None:
    """Refuse data of another shape or another number of classes than the model's."""
    if clean.shape != model.card.input_shape or len(clean.classes) != len(model.card.classes):
        expected = f"{model.card.name} expects images {model.card.input_shape}, {len(model.card.classes)} classes"
        raise BadInput(who, expected, f"{clean.shape}, {len(clean.classes)} classes")
