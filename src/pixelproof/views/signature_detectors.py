"""Detectors on signatures, their controls, and the attack that knows them."""

from __future__ import annotations

import dataclasses
from typing import Any

from pixelproof.detect import Figures
from pixelproof.results import DetectorRecord, catalogue
from pixelproof.run import Run
from pixelproof.views.overview import rate

NAMES = ("auroc", "tpr1", "tpr5", "eer", "accuracy")


def signature_detectors(run: Run) -> list[dict[str, Any]]:
    """One row per detector, controls last: the focus attack closely, and the means over all pairs of two attacks."""
    found = list(catalogue.SIGNATURE_DETECTORS.all(run))
    return [
        _row(record) for record in sorted(found, key=lambda record: (record.control, len(record.noise), record.name))
    ]


def _row(record: DetectorRecord) -> dict[str, Any]:
    history = record.history
    return {
        "name": record.name,
        "control": record.control,
        "fitted": record.fitted,
        "noise": list(record.noise),
        "attacks": list(record.attacks),
        "focus": record.focus,
        "fitted_on": record.fitted_on.tolist(),
        "judged": record.judged.tolist(),
        "matrices": {name: matrix.tolist() for name, matrix in record.against.items()},
        "cross": {name: dataclasses.asdict(found) for name, found in record.cross.items()},
        "figures": _figures(record.figures),
        "figures_noise": _figures(record.figures_noise),
        "clean_n": record.figures.clean,
        "attacked_n": record.figures.attacked,
        "curve": [record.fpr.tolist(), record.tpr.tolist()],
        "history": None if history is None else [history.training.tolist(), history.validation.tolist()],
        "rate": record.rate,
        "alarms": rate(record.alarms),
        "false_alarms": rate(record.false_alarms),
        "noise_alarms": rate(record.noise_alarms),
    }


def _figures(found: Figures) -> dict[str, dict[str, float]]:
    return {name: dataclasses.asdict(getattr(found, name)) for name in NAMES}


def adaptive(run: Run) -> list[dict[str, Any]]:
    """One row per attack that knows the detector (the first does not): fooled, fooled without alarm, AUROC."""
    if not catalogue.ADAPTIVE.has(run):
        return []
    record = catalogue.ADAPTIVE.load(run)
    return [
        {
            "detector": record.detector,
            "attack": attack,
            "n": record.n,
            "eps": record.eps,
            "steps": record.steps,
            "rate": record.rate,
            "fooled": rate(fooled),
            "evaded": rate(evaded),
            "auroc": auroc,
            "lost": rate(record.lost),
        }
        for attack, fooled, evaded, auroc in zip(
            record.attacks, record.fooled, record.evaded, record.auroc, strict=True
        )
    ]
