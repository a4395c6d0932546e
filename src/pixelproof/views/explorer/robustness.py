"""Robustness curves with intervals, per class, and where the examples behind each point are."""

from __future__ import annotations

from typing import Any

import torch

from pixelproof.results import AttackRecord
from pixelproof.types import Rate
from pixelproof.views import attacks
from pixelproof.views.answer import Lacking
from pixelproof.views.explorer.audits import audits
from pixelproof.views.open_run import OpenRun
from pixelproof.views.overview import overview, rate


def robustness(opened: OpenRun) -> dict[str, Any]:
    """Curves by attack, all attacks together, and the set to look at first."""
    run = opened.run
    rows, sampled = attacks.robustness(run), _sampled(opened)
    if not rows and not sampled:
        raise Lacking("robustness", "This run attacked nothing.", "Add [attacks] with specs = [...] to the study.")
    kept = {(each.attack, each.eps): each.id for each in opened.sets if each.source == "attacks"}
    per_class = {(record.label, record.eps): _classes(opened, record) for record in attacks.records(run)}
    focus = attacks.focus(run)
    return {
        "clean_accuracy": overview(opened).clean_accuracy,
        "curves": [
            {
                **{key: own[0][key] for key in ("attack", "family", "control", "norm", "seed")},
                "points": [_point(row, kept, per_class) for row in own],
            }
            for own in _curves(rows)
        ],
        "sampled": sampled,
        "together": [{key: value for key, value in row.items() if key != "attacks"} for row in attacks.worst_case(run)],
        "unpaired": attacks.unpaired(run),
        "focus": None if focus is None else kept.get((focus["attack"], focus["eps"])),
        "audit": _audit(opened),
    }


def _sampled(opened: OpenRun) -> list[dict[str, Any]]:
    """What the attacks of the other sections left standing of the images that they were run on."""
    whole = [each for each in opened.sets if each.source in ("signatures", "guards") and each.attacked == len(each)]
    return [
        {
            **{key: getattr(each, key) for key in ("source", "attack", "label", "norm", "eps", "seed")},
            "robust_accuracy": rate(Rate(int((~each.success).sum()), len(each))),
            "set": each.id,
        }
        for each in whole
        if each.attack != "pixels"  # that set was chosen for its successes, and says nothing of a rate
    ]


def _audit(opened: OpenRun) -> Any:
    try:
        return audits(opened)
    except Lacking as lacking:
        return lacking.answer()


def _curves(rows: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    names = dict.fromkeys(row["attack"] for row in rows)
    return [[row for row in rows if row["attack"] == name] for name in names]


def _point(row: dict[str, Any], kept: dict[Any, str], per_class: dict[Any, Any]) -> dict[str, Any]:
    same = (
        "eps",
        "n",
        "robust_accuracy",
        "overall_accuracy",
        "misclassified",
        "misclassified_8bit",
        "median_distance",
        "forwards_per_image",
        "backwards_per_image",
        "seconds",
        "shared_cost",
    )
    key = (row["attack"], row["eps"])
    return {**{name: row[name] for name in same}, "per_class": per_class[key], "set": kept.get(key)}


def _classes(opened: OpenRun, record: AttackRecord) -> list[dict[str, Any]]:
    """Robust accuracy of every class among the attacked images."""
    k = len(opened.clean.classes)
    n = torch.bincount(record.labels, minlength=k).tolist()
    held = torch.bincount(record.labels[~record.success], minlength=k).tolist()
    return [rate(Rate(hits, of)) for hits, of in zip(held, n, strict=True)]
