"""The detector table: every detector against every attack, its controls, and what attacks that know it reach."""

from __future__ import annotations

import dataclasses
from typing import Any

from torch import Tensor

from pixelproof.detect import Figures, GuardEvaluation
from pixelproof.results import GuardRecord, KnownRecord, catalogue
from pixelproof.run import Run, slug
from pixelproof.types import Rate
from pixelproof.views.overview import rate

FIGURES = ("auroc", "aupr", "fpr95", "tpr1", "tpr5", "eer", "accuracy")
ANY = "any of them"
RATES = (0.01, 0.05)  # the false-alarm rates of the clean thresholds that are compared


def guard_names(run: Run) -> list[str]:
    """The detectors of the table: layers of the alarm rule first, then the study's order."""
    section = run.spec.get("guards") or {"detectors": []}
    found = {record.name: record for record in _records(run)}
    listed = [name for name in section["detectors"] if name in found]
    layers = catalogue.VERDICTS.load(run, state="clean").layers if found else ()
    return [name for layer in layers if (name := f"neighbours, {layer}") in found] + listed


def guard_table(run: Run) -> list[dict[str, Any]]:
    """One row per detector and attack, with every figure, its interval and its controls.

    `alarms_1` and `alarms_5`: attacked images alarmed at thresholds from clean validation images for false-alarm rates
    of 1 and 5 %; `false_alarms_1` and `_5`: what these rates are on clean test images. `lost`: images that attacks
    which know the detector turn without an alarm, at the study's rate; `lost_pixel`: the same with the single pixel
    that the detector finds least strange; null where that was not tried.
    """
    records = {record.name: record for record in _records(run)}
    found = []
    for name in guard_names(run):
        record = records[name]
        known, pixel = _known(run, name), _known(run, name, "known-pixel")
        for attack, evaluation in record.evaluations.items():
            found.append(
                {
                    "detector": name,
                    "fitted_on": record.fitted_on,
                    "attack": attack,
                    **_figures(evaluation.figures),
                    **_controls(evaluation),
                    **_alarms(record, attack),
                    "clean_n": evaluation.figures.clean,
                    "attacked_n": evaluation.figures.attacked,
                    "calibration": record.calibration,
                    "rate": record.rate,
                    "fit_seconds": record.fit_seconds,
                    "lost": None if known is None else rate(known.lost),
                    "lost_pixel": None if pixel is None else rate(pixel.lost),
                }
            )
    return found


def natural_errors(run: Run) -> list[dict[str, Any]]:
    """One row per detector: the same figures with misclassified clean images in the place of attacked ones."""
    records = {record.name: record for record in _records(run)}
    found = []
    for name in guard_names(run):
        natural = records[name].natural
        if natural is not None:
            found.append({"detector": name, **_figures(natural), "clean_n": natural.clean, "wrong_n": natural.attacked})
    return found


def known(run: Run) -> list[dict[str, Any]]:
    """One row per detector and attack that knows it, one for every image's worst case ("any of them"), and last the
    single pixel that the detector finds least strange, where the study has one-pixel attacks.
    """
    found = []
    for name in guard_names(run):
        for kind in ("known", "known-pixel"):
            record = _known(run, name, kind)
            if record is None:
                continue
            about = {
                "detector": name,
                "n": record.n,
                "norm": record.norm,
                "eps": record.eps,
                "steps": record.steps,
                "rate": record.rate,
            }
            rows = zip(record.attacks, record.fooled, record.evaded, record.auroc, strict=True)
            found += [
                {**about, "attack": attack, "fooled": rate(fooled), "evaded": rate(evaded), "auroc": auroc}
                for attack, fooled, evaded, auroc in rows
            ]
            if len(record.attacks) > 1:
                worst = record.quietest
                fooled = rate(Rate(0 if worst is None else worst.attacked, record.n))
                area = None if worst is None else worst.auroc.value
                found.append({**about, "attack": ANY, "fooled": fooled, "evaded": rate(record.lost), "auroc": area})
    return found


def _records(run: Run) -> list[GuardRecord]:
    return list(catalogue.DETECTORS.all(run))


def _known(run: Run, name: str, kind: str = "known") -> KnownRecord | None:
    stored = f"guards/{kind}/{slug(name)}"
    return run.load(stored, KnownRecord) if run.has(stored) else None


def _figures(found: Figures) -> dict[str, dict[str, float]]:
    return {name: dataclasses.asdict(getattr(found, name)) for name in FIGURES}


def _controls(found: GuardEvaluation) -> dict[str, Any]:
    return {
        "auroc_all": found.figures_all.auroc.value,
        "noise": None if found.noise is None else dataclasses.asdict(found.noise),
        "twins": None if found.twins is None else dataclasses.asdict(found.twins),
        "recovered": None if found.recovered is None else rate(found.recovered),
        "second": rate(found.second),
        "rejected_or_right": rate(found.rejected_or_right),
        "seconds_per_image": found.seconds_per_image,
    }


def _alarms(record: GuardRecord, attack: str) -> dict[str, Any]:
    clean, attacked = record.judged["clean"], record.judged[attack]
    found: dict[str, Any] = {}
    for each in RATES:
        found[f"alarms_{100 * each:.0f}"] = _below(attacked.p_value[attacked.fooled], each)
        found[f"false_alarms_{100 * each:.0f}"] = _below(clean.p_value, each)
    return found


def _below(p_value: Tensor, limit: float) -> dict[str, Any]:
    return rate(Rate(int((p_value <= limit + 1e-9).sum()), len(p_value)))
