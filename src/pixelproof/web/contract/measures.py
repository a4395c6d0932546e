"""Whole-run figures: thresholds, maps, robustness."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pixelproof.views.roc import Roc
from pixelproof.web.contract.common import Answer, Estimate, Numbers


class Space(Answer):
    """One layer: its rules, and its ROC on the images that nothing was tuned on.

    The score of an image is the number of strangers (neighbours of another class than the predicted one) plus up to
    one half, which orders equal counts. The tuned rule, more than `count` strangers, is the same as a score above
    `threshold`; the calibrated rule is a score above `limit`.
    """

    name: str
    k: int
    count: int
    threshold: float
    limit: float
    figures: dict[str, Estimate] = Field(description="auroc, tpr1, tpr5, eer, accuracy.")
    eer_threshold: float = Field(description="The score at which false positives and misses are nearest to equal.")
    roc: Roc


class Against(Answer):
    """Clean images against one attack's successes, none of which anything was tuned on."""

    attack: str
    clean: int
    attacked: int
    spaces: tuple[Space, ...]
    scores: Numbers = Field(description="(spaces, clean + attacked): clean images first.")
    examples: tuple[str, ...] = Field(description="The images' example ids, in the order of the scores.")


class Accuracy(Answer):
    """Balanced accuracy over k = 1, 2, ... for one layer, with the threshold tuned for each k on the tuning half.

    `best` is the k chosen on the tuning half, `papers_k` the one the paper would pick from the validation curve.
    """

    layer: str
    tuning: tuple[float, ...]
    validation: tuple[float, ...]
    eer: tuple[float, ...] = Field(description="Equal error rate over k on the tuning half.")
    best: int
    papers_k: int


class Thresholds(Answer):
    """Scores of every layer, so that a slider can move thresholds in the browser."""

    available: Literal[True] = True
    rate: float = Field(description="The false-alarm rate of the calibrated rule.")
    tuned_on: str
    against: tuple[Against, ...]
    accuracy: tuple[Accuracy, ...]
    note: str
