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
from pixelproof.views.explorer.catalog import CLEAN, slug
from pixelproof.views.explorer.shelf import Shelf

NAMES = ("auroc", "tpr1", "tpr5", "eer", "accuracy")
RESAMPLES = 200


def thresholds(shelf: Shelf) -> dict[str, Any]:
    """Per attack and layer: both rules' thresholds, figures with intervals and the ROC; Lacking without [guards]."""
    watch = shelf.watch
    found = {name: record for name, record in watch.states.items() if name != CLEAN}
    judged = {name: record for name, record in found.items() if bool(_attacked(record).any())}
    tuned = watch.tuned
    accuracy = tuned.tuning.at(tuned.tuning.accuracy, tuned.tuning.thresholds)
    return {
        "rate": watch.clean.rate,
        "tuned_on": watch.section["focus"],
        "against": [_against(shelf, name, record) for name, record in _ordered(shelf, judged)],
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
        "note": watch.note,
    }


def scores(shelf: Shelf, attack: str) -> Float[Tensor, "spaces n"]:
    """Scores of the clean images and then of one attack's successes, per layer, on the judging half."""
    states = shelf.watch.states
    if attack not in states or attack == CLEAN:
        raise UnknownName("explore", "attack", attack[:80], [name for name in states if name != CLEAN])
    clean, attacked = shelf.watch.clean, states[attack]
    return torch.cat([clean.score[_quiet(clean)], attacked.score[_attacked(attacked)]]).T.contiguous()


def _against(shelf: Shelf, name: str, record: VerdictRecord) -> dict[str, Any]:
    clean = shelf.watch.clean
    table = scores(shelf, name)
    quiet = int(_quiet(clean).sum())
    places = [(CLEAN, shelf.watch.places[CLEAN][_quiet(clean)])]
    places.append((f"guards~sets~{name}", shelf.watch.places[name][_attacked(record)]))
    return {
        "attack": name,
        "clean": quiet,
        "attacked": table.shape[1] - quiet,
        "spaces": [
            _space(shelf, name, place, table[place, :quiet], table[place, quiet:])
            for place in range(len(record.layers))
        ],
        "scores": {"href": f"runs/{shelf.name}/thresholds/{name}/scores.f32", "shape": list(table.shape)},
        "examples": [f"{found}~{index}" for found, rows in places for index in rows.tolist()],
    }


def _space(shelf: Shelf, attack: str, place: int, quiet: Tensor, strange: Tensor) -> dict[str, Any]:
    record = shelf.watch.clean
    curve = roc(quiet, strange)
    crossing = int((curve.fpr - (1 - curve.tpr)).abs().argmin())
    return {
        "name": record.layers[place],
        "k": record.k[place],
        "count": record.thresholds[place],
        "threshold": record.thresholds[place] + BETWEEN,
        "limit": float(record.limit[place]),
        "figures": _figures(shelf, attack, record.layers[place], quiet, strange),
        "eer_threshold": float(curve.thresholds[max(crossing, 1)]),
        "roc": curve_of(curve.thresholds, curve.fpr, curve.tpr),
    }


def curve_of(limits: Tensor, fpr: Tensor, tpr: Tensor) -> dict[str, Any]:
    """A ROC curve with null for the threshold that nothing exceeds."""
    finite = [value if abs(value) != float("inf") else None for value in limits.tolist()]
    return {"thresholds": finite, "fpr": _short(fpr), "tpr": _short(tpr)}


def _short(rates: Tensor) -> list[float | None]:
    """Rates for drawing: six digits."""
    return [round(value, 6) for value in rates.tolist()]


def estimates(found: Figures) -> dict[str, dict[str, float]]:
    """The figures that are shown, each with its interval."""
    return {name: dataclasses.asdict(getattr(found, name)) for name in NAMES}


def _figures(shelf: Shelf, attack: str, layer: str, quiet: Tensor, strange: Tensor) -> dict[str, dict[str, float]]:
    """The detector table's own figures where the run has them: they rest on more resamples."""
    name = f"guards/detectors/{slug(f'neighbours, {layer}')}"
    if shelf.run.has(name):
        for spec, evaluation in shelf.run.load(name, GuardRecord).evaluations.items():
            if slug(spec) == attack:
                return estimates(evaluation.figures)
    return estimates(figures(quiet, strange, seed=shelf.run.spec["seed"], resamples=RESAMPLES))


def _quiet(record: VerdictRecord) -> Bool[Tensor, " n"]:
    """Clean images of the judging half that are classified correctly."""
    return record.validation & ~record.fooled


def _attacked(record: VerdictRecord) -> Bool[Tensor, " n"]:
    """Successes of the judging half."""
    return record.validation & record.fooled


def _ordered(shelf: Shelf, judged: dict[str, VerdictRecord]) -> list[tuple[str, VerdictRecord]]:
    """The focus attack first, then as the study names them."""
    section = shelf.watch.section
    order = [slug(section["focus"]), *(slug(spec) for spec in section["attacks"])]
    return sorted(judged.items(), key=lambda entry: order.index(entry[0]) if entry[0] in order else len(order))
