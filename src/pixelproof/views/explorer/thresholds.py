"""Thresholds: every layer's scores on the images that nothing was tuned on, its ROC, and accuracy over k."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from pixelproof.detect import Figures, figures, roc
from pixelproof.detect.neighbours.rules import BETWEEN
from pixelproof.errors import UnknownName
from pixelproof.results import GuardRecord, VerdictRecord
from pixelproof.run import slug
from pixelproof.views import paths
from pixelproof.views.example_sets import CLEAN
from pixelproof.views.open_run import OpenRun
from pixelproof.views.roc import Roc

NAMES = ("auroc", "tpr1", "tpr5", "eer", "accuracy")
RESAMPLES = 200


def thresholds(opened: OpenRun) -> dict[str, Any]:
    """Per attack and layer: both rules' thresholds, figures with intervals and the ROC; Lacking without [guards]."""
    view = opened.neighbour_view
    found = {name: record for name, record in view.states.items() if name != CLEAN}
    judged = {name: record for name, record in found.items() if bool(_attacked(record).any())}
    tuned = view.tuned
    accuracy = tuned.tuning.at(tuned.tuning.accuracy, tuned.tuning.thresholds)
    return {
        "rate": view.clean.rate,
        "tuned_on": view.section["focus"],
        "against": [_against(opened, name, record) for name, record in _ordered(opened, judged)],
        "accuracy": [
            {
                "layer": layer,
                "tuning": accuracy[row].tolist(),
                "validation": tuned.validated[row].tolist(),
                "eer": tuned.tuning.eer[row].tolist(),
                "best": tuned.best[row],
                "papers_k": tuned.papers_k[row],
            }
            for row, layer in enumerate(tuned.tuning.layers)
        ],
        "note": view.note,
    }


def scores(opened: OpenRun, attack: str) -> Float[Tensor, "spaces n"]:
    """Scores of the clean images and then of one attack's successes, per layer, on the judging half."""
    states = opened.neighbour_view.states
    if attack not in states or attack == CLEAN:
        raise UnknownName("explore", "attack", attack[:80], [name for name in states if name != CLEAN])
    clean, attacked = opened.neighbour_view.clean, states[attack]
    return torch.cat([clean.score[_quiet(clean)], attacked.score[_attacked(attacked)]]).T.contiguous()


def _against(opened: OpenRun, name: str, record: VerdictRecord) -> dict[str, Any]:
    clean = opened.neighbour_view.clean
    table = scores(opened, name)
    quiet = int(_quiet(clean).sum())
    places = [(CLEAN, opened.neighbour_view.places[CLEAN][_quiet(clean)])]
    places.append((f"guards~sets~{name}", opened.neighbour_view.places[name][_attacked(record)]))
    return {
        "attack": name,
        "clean": quiet,
        "attacked": table.shape[1] - quiet,
        "spaces": [
            _space(opened, name, place, table[place, :quiet], table[place, quiet:])
            for place in range(len(record.layers))
        ],
        "scores": {"href": paths.at(paths.SCORES, run=opened.name, attack=name), "shape": list(table.shape)},
        "examples": [f"{found}~{index}" for found, rows in places for index in rows.tolist()],
    }


def _space(opened: OpenRun, attack: str, place: int, quiet: Tensor, strange: Tensor) -> dict[str, Any]:
    record = opened.neighbour_view.clean
    curve = roc(quiet, strange)
    crossing = int((curve.fpr - (1 - curve.tpr)).abs().argmin())
    return {
        "name": record.layers[place],
        "k": record.k[place],
        "count": record.thresholds[place],
        "threshold": record.thresholds[place] + BETWEEN,
        "limit": float(record.limit[place]),
        "figures": _figures(opened, attack, record.layers[place], quiet, strange),
        "eer_threshold": float(curve.thresholds[max(crossing, 1)]),
        "roc": Roc.of(curve.thresholds, curve.fpr, curve.tpr),
    }


def estimates(found: Figures) -> dict[str, dict[str, float]]:
    """The figures that are shown, each with its interval."""
    return {name: dataclasses.asdict(getattr(found, name)) for name in NAMES}


def _figures(opened: OpenRun, attack: str, layer: str, quiet: Tensor, strange: Tensor) -> dict[str, dict[str, float]]:
    """The detector table's own figures where the run has them: they rest on more resamples."""
    name = f"guards/detectors/{slug(f'neighbours, {layer}')}"
    if opened.run.has(name):
        for spec, evaluation in opened.run.load(name, GuardRecord).evaluations.items():
            if slug(spec) == attack:
                return estimates(evaluation.figures)
    return estimates(figures(quiet, strange, seed=opened.run.spec["seed"], resamples=RESAMPLES))


def _quiet(record: VerdictRecord) -> Bool[Tensor, " n"]:
    """Clean images of the judging half that are classified correctly."""
    return record.validation & ~record.fooled


def _attacked(record: VerdictRecord) -> Bool[Tensor, " n"]:
    """Successes of the judging half."""
    return record.validation & record.fooled


def _ordered(opened: OpenRun, judged: dict[str, VerdictRecord]) -> list[tuple[str, VerdictRecord]]:
    """The focus attack first, then as the study names them."""
    section = opened.neighbour_view.section
    order = [slug(section["focus"]), *(slug(spec) for spec in section["attacks"])]
    return sorted(judged.items(), key=lambda entry: order.index(entry[0]) if entry[0] in order else len(order))
