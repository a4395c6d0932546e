"""The table of every detector of a run, and the attacks that know one."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from pixelproof.detect import roc
from pixelproof.results import DetectorRecord, GuardRecord, KnownRecord
from pixelproof.types import Rate
from pixelproof.views.detection import adaptive
from pixelproof.views.explorer.catalog import CLEAN, slug
from pixelproof.views.explorer.missing import Lacking
from pixelproof.views.explorer.shelf import Shelf
from pixelproof.views.explorer.thresholds import curve_of, estimates
from pixelproof.views.overview import rate

NONE = Lacking("detectors", "This run judged no detector.", "Add [guards] or [signatures] to the study.")


def detectors(shelf: Shelf) -> dict[str, Any]:
    """One row per detector and attack; Lacking where the study judged none."""
    rows = [*_guards(shelf), *_signatures(shelf)]
    if not rows:
        raise NONE
    return {"detectors": rows, "adaptive": [*_known(shelf), *_adaptive(shelf)]}


def _guards(shelf: Shelf) -> Iterator[dict[str, Any]]:
    for name in shelf.run.names("guards/detectors/"):
        record = shelf.run.load(name, GuardRecord)
        quiet = record.judged[CLEAN]
        for spec, found in record.evaluations.items():
            strange = record.judged[spec]
            curve = roc(quiet.score[~quiet.fooled], strange.score[strange.fooled])
            yield {
                "id": slug(record.name),
                "name": record.name,
                "source": "guards",
                "control": False,
                "fitted_on": record.fitted_on,
                "attack": spec,
                "clean": found.figures.clean,
                "attacked": found.figures.attacked,
                "figures": estimates(found.figures),
                "noise": None if found.noise is None else dataclasses.asdict(found.noise),
                "rate": record.rate,
                "alarms": rate(found.alarms),
                "false_alarms": rate(found.false_alarms),
                "recovered": None if found.recovered is None else rate(found.recovered),
                "roc": curve_of(curve.thresholds, curve.fpr, curve.tpr),
            }


def _signatures(shelf: Shelf) -> Iterator[dict[str, Any]]:
    for name in shelf.run.names("signatures/detectors/"):
        record = shelf.run.load(name, DetectorRecord)
        nothing: list[float | None] = [None] * len(record.fpr)
        yield {
            "id": slug(record.name),
            "name": record.name,
            "source": "signatures",
            "control": record.control,
            "fitted_on": record.focus,
            "attack": record.focus,
            "clean": record.figures.clean,
            "attacked": record.figures.attacked,
            "figures": estimates(record.figures),
            "noise": dataclasses.asdict(record.figures_noise.auroc),
            "rate": record.rate,
            "alarms": rate(record.alarms),
            "false_alarms": rate(record.false_alarms),
            "recovered": None,
            "roc": {"thresholds": nothing, "fpr": record.fpr.tolist(), "tpr": record.tpr.tolist()},
        }


def _known(shelf: Shelf) -> Iterator[dict[str, Any]]:
    for name in shelf.run.names("guards/known/"):
        record = shelf.run.load(name, KnownRecord)
        facts = {"detector": record.name, "n": record.n, "eps": record.eps, "steps": record.steps, "rate": record.rate}
        for k, attack in enumerate(record.attacks):
            yield {**facts, **_row(attack, record.fooled[k], record.evaded[k], record.auroc[k], record.lost)}


def _adaptive(shelf: Shelf) -> list[dict[str, Any]]:
    return adaptive(shelf.run)


def _row(attack: str, fooled: Rate, evaded: Rate, auroc: float | None, lost: Rate) -> dict[str, Any]:
    return {"attack": attack, "fooled": rate(fooled), "evaded": rate(evaded), "auroc": auroc, "lost": rate(lost)}
