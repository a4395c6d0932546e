"""The rows that tables of detectors are made of: one detector against one attack, and an attack that knows it."""

from __future__ import annotations

from pydantic import Field

from pixelproof.detect import Figures
from pixelproof.types import Rate
from pixelproof.views.answer import Answer, Estimate
from pixelproof.views.roc import Roc


class Separation(Answer):
    """How well scores separate attacked from clean images, with 95 % bootstrap intervals over images."""

    auroc: Estimate = Field(description="Area under the ROC curve.")
    aupr: Estimate = Field(description="Average precision, at these numbers of images.")
    fpr95: Estimate = Field(description="False positives where 95 % of the attacked are found.")
    tpr1: Estimate = Field(description="Attacked found at no more than 1 % false positives.")
    tpr5: Estimate = Field(description="Attacked found at no more than 5 % false positives.")
    eer: Estimate = Field(description="Where false positives and misses are equally frequent.")
    accuracy: Estimate = Field(description="The best balanced accuracy that any threshold has.")


class DetectorRow(Separation):
    """One detector against one attack, on images that it was not fitted on."""

    id: str = Field(description="Of the row, within its list.")
    detector: str = Field(description="Its spec, or 'neighbours, LAYER' for the alarm rule of one layer.")
    control: bool = Field(description="Whether it only shows what a detector without explanations reaches.")
    fitted_on: str = Field(description="The attack it was fitted or tuned on; empty where it saw clean images only.")
    attack: str = Field(description="As the study names it.")
    clean_n: int = Field(description="Clean images, correctly classified, that the figures rest on.")
    attacked_n: int = Field(description="Successfully attacked images that the figures rest on.")
    noise: Estimate | None = Field(description="AUROC against clean images with the same perturbation, shuffled.")
    rate: float = Field(description="The false-alarm rate that its own threshold was set to.")
    alarms: Rate = Field(description="Attacked images above its own threshold.")
    false_alarms: Rate = Field(description="Clean test images above its own threshold, misclassified ones included.")
    recovered: Rate | None = Field(description="Attacked images whose recovered class is the true one; null: none is.")
    roc: Roc = Field(description="On those clean and attacked images.")


class KnownRow(Answer):
    """An attack that knows a detector: how many images fooled the classifier, and how many of those unseen.

    The attack "any of them" is every image's worst case over the others; "quietest pixel" is the single pixel that
    the detector finds least strange, where the study has one-pixel attacks.
    """

    detector: str = Field(description="As in its own row.")
    n: int = Field(description="Correctly classified test images that were attacked.")
    norm: str = Field(description="Of the budget.")
    eps: float = Field(description="The budget in that norm.")
    steps: int = Field(description="0 for single pixels: every change that fools was shown to the guard.")
    rate: float = Field(description="The false-alarm rate that the detector's threshold was set to.")
    attack: str = Field(description="What the attack weighs or does, in words.")
    fooled: Rate = Field(description="Images that fool the classifier, seen or unseen.")
    evaded: Rate = Field(description="Images that fool the classifier without an alarm.")
    auroc: float | None = Field(description="Of the images that fool, against clean ones; null where none does.")
    lost: Rate = Field(description="Images lost to any of the attacks that know this detector.")


def separation(found: Figures) -> dict[str, Estimate]:
    """The figures by the names of their fields in `Separation`."""
    return {name: getattr(found, name) for name in Separation.model_fields}
