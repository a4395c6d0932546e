"""The rows that the answer on neighbours is made of: each says something of one layer, or of all single layers."""

from __future__ import annotations

from pydantic import Field

from pixelproof.types import Rate
from pixelproof.views.answer import Answer, Estimate


class AlarmRuleRow(Answer):
    """The alarm rule of one layer for one attack: tuned on one half of the images, judged on the other."""

    attack: str = Field(description="The attack that it was tuned on, as the study names it.")
    focus: bool = Field(description="Whether that is the attack whose rule gives the alarms elsewhere.")
    layer: str = Field(description="A layer, or 'composed' for all of them joined.")
    k: int = Field(description="Neighbours looked at: the k with the highest accuracy on the tuning half.")
    threshold: int = Field(description="Alarm when more than this many of the k belong to another class.")
    papers_k: int = Field(description="The k that the judging half's curve would pick, as the paper chose it.")
    paper: int | None = Field(description="The paper's own k; null where the study's file gives none.")
    eer: float = Field(description="Equal error rate on the tuning half at k, as a share.")
    accuracy: float = Field(description="Share judged right, clean and attacked images weighted equally.")
    tpr: float = Field(description="Share of the `attacked` images that alarm.")
    fpr: float = Field(description="Share of the `clean` images that alarm.")
    auroc: float = Field(description="Area under the ROC curve at k, over all thresholds.")
    best_accuracy: float = Field(description="The highest accuracy that any k reaches on the judging half.")
    tuned_clean: int = Field(description="Clean images of the tuning half.")
    tuned_attacked: int = Field(description="Attacked images of the tuning half.")
    clean: int = Field(description="Clean images of the judging half.")
    attacked: int = Field(description="Attacked images of the judging half.")


class ThresholdCurve(Answer):
    """Figs. 4 to 7: rates over the threshold on the tuning half, at the chosen k of one layer.

    Place t of every curve is the threshold t, from 0 to k - 1; all are shares.
    """

    layer: str = Field(description="A layer, or 'composed' for all of them joined.")
    k: int = Field(description="Neighbours looked at.")
    threshold: int = Field(description="The threshold nearest to the equal error rate.")
    eer: float = Field(description="Equal error rate, as a share.")
    accuracy: tuple[float, ...] = Field(description="Share judged right, clean and attacked weighted equally.")
    fpr: tuple[float, ...] = Field(description="Share of the clean images that alarm.")
    fnr: tuple[float, ...] = Field(description="Share of the attacked images that do not alarm.")


class AccuracyOverK(Answer):
    """Figs. 8 to 11: accuracy of one layer over k, every k with its equal-error threshold of the tuning half.

    Place i of every curve is k = i + 1; all are shares, and accuracy weighs clean and attacked images equally.
    """

    layer: str = Field(description="A layer, or 'composed' for all of them joined.")
    tuning: tuple[float, ...] = Field(description="Accuracy on the tuning half.")
    validation: tuple[float, ...] = Field(description="Accuracy on the judging half.")
    eer: tuple[float, ...] = Field(description="Equal error rate on the tuning half.")
    best: int = Field(description="The k chosen on the tuning half.")
    papers_k: int = Field(description="The k that the judging half's curve would pick, as the paper chose it.")


class LayerRoc(Answer):
    """Fig. 12: the ROC curve of one layer at its k on the judging half, from (0, 0) to (1, 1)."""

    layer: str = Field(description="A layer, or 'composed' for all of them joined.")
    k: int = Field(description="Neighbours looked at.")
    auroc: float = Field(description="Area under the curve.")
    fpr: tuple[float, ...] = Field(description="Share of the clean images that alarm, threshold by threshold.")
    tpr: tuple[float, ...] = Field(description="Share of the attacked images that alarm, threshold by threshold.")


class CaseCounts(Answer):
    """The four cases of one layer's alarms under one attack, each among the images of its kind."""

    attack: str = Field(description="The attack, as the study names it.")
    layer: str = Field(description="A layer, or 'composed' for all of them joined.")
    true_positive: Rate = Field(serialization_alias="true positive", description="Attacked images that alarm.")
    false_negative: Rate = Field(serialization_alias="false negative", description="Attacked images that do not.")
    true_negative: Rate = Field(serialization_alias="true negative", description="Clean images that do not alarm.")
    false_positive: Rate = Field(serialization_alias="false positive", description="Clean images that alarm.")


class RecoveredRow(Answer):
    """How often one layer's neighbours name another class than the predicted one, and how often that is the true one.

    All over the successes of one attack.
    """

    attack: str = Field(description="The attack, as the study names it.")
    layer: str = Field(description="A layer, or 'composed' for all of them joined.")
    named: Rate = Field(description="Images of which most neighbours belong to another class.")
    right_if_named: Rate = Field(description="Of those, the images of which it is the true one.")
    right: Rate = Field(description="Of all images, those of which it is the true one.")
    second: Rate = Field(description="Images of which the network's second class is the true one: it costs nothing.")


class AlarmPattern(Answer):
    """How many images of one state make the same single layers alarm."""

    state: str = Field(description="'clean', or the attack as the study names it.")
    layers: tuple[str, ...] = Field(description="The single layers, from the first to the last.")
    alarms: tuple[bool, ...] = Field(description="Which of them alarm.")
    agree: bool = Field(description="Whether all of them say the same.")
    images: Rate = Field(description="Images with this pattern, of all images of the state.")


class LayerDepth(Answer):
    """Whether attacked images differ most in the last layers: one layer under one attack."""

    attack: str = Field(description="The attack, as the study names it.")
    layer: str = Field(description="A layer, or 'composed' for all of them joined.")
    auroc: Estimate = Field(description="Area under the ROC curve of the layer's rule, over `n` attacked images.")
    moved: float = Field(
        description="Median distance from the clean original, in units of that one's distance to its nearest training "
        "image."
    )
    alarms: Rate = Field(description="Attacked images that alarm, by the rule tuned on the focus attack.")
    above_first: Estimate = Field(description="AUROC minus the first layer's; its interval is that of the pairs.")
    n: int = Field(description="Successfully attacked images.")
