"""Thresholds: every layer's scores on the images that nothing was tuned on, its ROC, and accuracy over k."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor

from pixelproof.detect import Figures, figures, roc
from pixelproof.detect.neighbours.rules import BETWEEN
from pixelproof.errors import UnknownName
from pixelproof.results import VerdictRecord, catalogue
from pixelproof.run import slug
from pixelproof.views import paths
from pixelproof.views.answer import Answer, Estimate, Numbers
from pixelproof.views.example_sets import CLEAN
from pixelproof.views.neighbour_rows import AccuracyOverK
from pixelproof.views.neighbours import accuracy_over_k
from pixelproof.views.open_run import OpenRun
from pixelproof.views.roc import Roc

RESAMPLES = 200


class Space(Answer):
    """One layer: its rules, and its ROC on the images that nothing was tuned on.

    The score of an image is the number of strangers (neighbours of another class than the predicted one) plus up to
    one half, which orders equal counts. The tuned rule, more than `count` strangers, is the same as a score above
    `threshold`; the calibrated rule is a score above `limit`.
    """

    name: str = Field(description="A layer, or 'composed' for all of them joined.")
    k: int = Field(description="Neighbours looked at.")
    count: int = Field(description="Strangers that the tuned rule allows.")
    threshold: float = Field(description="The tuned rule: an alarm is a score above it.")
    limit: float = Field(description="The calibrated rule: an alarm is a score above it.")
    figures: dict[str, Estimate] = Field(description="auroc, tpr1, tpr5, eer, accuracy.")
    eer_threshold: float = Field(description="The score at which false positives and misses are nearest to equal.")
    roc: Roc = Field(description="Of the scores.")


class Against(Answer):
    """Clean images against one attack's successes, none of which anything was tuned on."""

    attack: str = Field(description="File name of the attack's state.")
    clean: int = Field(description="Clean images, correctly classified.")
    attacked: int = Field(description="Images that the attack turned.")
    spaces: tuple[Space, ...] = Field(description="Layers in the network's order, then the composed one.")
    scores: Numbers = Field(description="(spaces, clean + attacked): clean images first.")
    examples: tuple[str, ...] = Field(description="The images' example ids, in the order of the scores.")


class Thresholds(Answer):
    """Scores of every layer, so that a slider can move thresholds in the browser."""

    available: Literal[True] = True
    rate: float = Field(description="The false-alarm rate of the calibrated rule.")
    tuned_on: str = Field(description="The focus attack.")
    against: tuple[Against, ...] = Field(description="The focus attack first, then in the study's order.")
    accuracy: tuple[AccuracyOverK, ...] = Field(description="One per layer, for the focus attack.")
    note: str = Field(description="What the rules rest on, in one sentence.")


def thresholds(opened: OpenRun) -> Thresholds:
    """Per attack and layer: both rules' thresholds, figures with intervals and the ROC; Lacking without [guards]."""
    view = opened.neighbour_view
    found = {name: record for name, record in view.states.items() if name != CLEAN}
    judged = {name: record for name, record in found.items() if bool(_attacked(record).any())}
    return Thresholds(
        rate=view.clean.rate,
        tuned_on=view.focus,
        against=tuple(_against(opened, name, record) for name, record in _ordered(opened, judged)),
        accuracy=accuracy_over_k(view.tuned),
        note=view.note,
    )


def scores(opened: OpenRun, attack: str) -> Float[Tensor, "spaces n"]:
    """Scores of the clean images and then of one attack's successes, per layer, on the judging half."""
    states = opened.neighbour_view.states
    if attack not in states or attack == CLEAN:
        raise UnknownName("explore", "attack", attack[:80], [name for name in states if name != CLEAN])
    clean, attacked = opened.neighbour_view.clean, states[attack]
    return torch.cat([clean.score[_clean(clean)], attacked.score[_attacked(attacked)]]).T.contiguous()


def _against(opened: OpenRun, name: str, record: VerdictRecord) -> Against:
    view = opened.neighbour_view
    table = scores(opened, name)
    clean = int(_clean(view.clean).sum())
    places = [(CLEAN, view.places[CLEAN][_clean(view.clean)])]
    places.append((f"guards~sets~{name}", view.places[name][_attacked(record)]))
    return Against(
        attack=name,
        clean=clean,
        attacked=table.shape[1] - clean,
        spaces=tuple(
            _space(opened, name, place, table[place, :clean], table[place, clean:])
            for place in range(len(record.layers))
        ),
        scores=Numbers(href=paths.at(paths.SCORES, run=opened.name, attack=name), shape=tuple(table.shape)),
        examples=tuple(f"{found}~{index}" for found, rows in places for index in rows.tolist()),
    )


def _space(opened: OpenRun, attack: str, place: int, clean: Tensor, attacked: Tensor) -> Space:
    record = opened.neighbour_view.clean
    curve = roc(clean, attacked)
    crossing = int((curve.fpr - (1 - curve.tpr)).abs().argmin())
    return Space(
        name=record.layers[place],
        k=record.k[place],
        count=record.thresholds[place],
        threshold=record.thresholds[place] + BETWEEN,
        limit=float(record.limit[place]),
        figures=_figures(opened, attack, record.layers[place], clean, attacked),
        eer_threshold=float(curve.thresholds[max(crossing, 1)]),
        roc=Roc.of(curve.thresholds, curve.fpr, curve.tpr),
    )


def estimates(found: Figures) -> dict[str, Estimate]:
    """The figures that are shown, each with its interval."""
    return {
        "auroc": found.auroc,
        "tpr1": found.tpr1,
        "tpr5": found.tpr5,
        "eer": found.eer,
        "accuracy": found.accuracy,
    }


def _figures(opened: OpenRun, attack: str, layer: str, clean: Tensor, attacked: Tensor) -> dict[str, Estimate]:
    """The detector table's own figures where the run has them: they rest on more resamples."""
    record = catalogue.DETECTORS.find(opened.run, name=f"neighbours, {layer}")
    if record is not None:
        for spec, evaluation in record.evaluations.items():
            if slug(spec) == attack:
                return estimates(evaluation.figures)
    return estimates(figures(clean, attacked, seed=opened.run.spec["seed"], resamples=RESAMPLES))


def _clean(record: VerdictRecord) -> Bool[Tensor, " n"]:
    """Clean images of the judging half that are classified correctly."""
    return record.validation & ~record.fooled


def _attacked(record: VerdictRecord) -> Bool[Tensor, " n"]:
    """Successes of the judging half."""
    return record.validation & record.fooled


def _ordered(opened: OpenRun, judged: dict[str, VerdictRecord]) -> list[tuple[str, VerdictRecord]]:
    """The focus attack first, then as the study names them."""
    order = [slug(spec) for spec in (opened.neighbour_view.focus, *opened.run.spec["guards"]["attacks"])]
    return sorted(judged.items(), key=lambda entry: order.index(entry[0]) if entry[0] in order else len(order))
