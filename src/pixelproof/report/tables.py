"""The views as CSV: one file each, one row per cell, empty where there is no value."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

from pixelproof import views
from pixelproof.run import Run

Rows = Iterable[Mapping[str, Any]]


def _confusion(run: Run) -> Rows:
    names = views.overview(run)["classes"]
    for matrix in views.confusion(run):
        for name, counts in zip(names, matrix["counts"], strict=True):
            for predicted, count in zip(names, counts, strict=True):
                cell = {"attack": matrix["attack"], "eps": matrix["eps"], "true": name}
                yield {**cell, "predicted": predicted, "count": count}


def _history(run: Run) -> Rows:
    history = views.history(run)
    if history is None:
        return
    for epoch, training in enumerate(history["training"]):
        held = history["validation"][epoch] if history["validation"] else [None] * len(training)
        yield {
            "epoch": epoch + 1,
            "kept": epoch == history["kept"],
            **{f"training_{name}": value for name, value in zip(history["columns"], training, strict=True)},
            **{f"validation_{name}": value for name, value in zip(history["columns"], held, strict=True)},
            "seconds": history["seconds"][epoch],
        }


def _images(run: Run) -> Rows:
    for row in views.robustness(run):
        yield from views.images(run, attack=row["attack"], eps=row["eps"])


def _detectors(run: Run) -> Rows:
    """One row per detector, attack fitted on and attack tested on."""
    for row in views.detectors(run):
        for fitted, name in enumerate(row["attacks"]):
            for tested, other in enumerate(row["attacks"]):
                aurocs = {f"auroc_{key}": matrix[fitted][tested] for key, matrix in row["matrices"].items()}
                yield {"detector": row["name"], "fitted": name, "tested": other, "n": row["judged"][tested], **aurocs}


def _defences(run: Run) -> Rows:
    """One row per network and row, without curves; empty where a row was not read with a mask on."""
    rows = views.defences(run)
    names = dict.fromkeys(name for row in rows for name in row["held"])
    for row in rows:
        held = {f"held {name}": row["held"].get(name, {}).get("value") for name in names}
        said = {f"{key} says": (row[key] or {}).get("verdict") for key in ("audit", "audit_on")}
        left_out = ("history", "held", "macro", "certified", *("audit", "audit_on"))
        yield {key: value for key, value in row.items() if key not in left_out} | held | said


def _one_pixel(run: Run) -> Rows:
    """One row per class: images of it that fall, and pairs that reach it."""
    for row in (views.one_pixel(run) or {"classes": []})["classes"]:
        counts = {f"{side}_{key}": row[side][key] for side in ("from", "to") for key in ("hits", "n")}
        yield {"class": row["class"], **counts}


CSV: Mapping[str, Callable[[Run], Rows]] = MappingProxyType(
    {
        "robustness": views.robustness,
        "one-pixel": _one_pixel,
        "worst-case": views.worst_case,
        "paper": views.paper,
        "clean-classes": lambda run: views.overview(run)["per_class"],
        "classes": views.classes,
        "confusion": _confusion,
        "training": _history,
        "images": _images,
        "critical-curves": views.curves,
        "critical-confined": views.confined,
        "drift": views.drift,
        "detectors": _detectors,
        "adaptive": views.adaptive,
        "defences": _defences,
        "defence-search": views.searched,
        "alarm-rule": views.alarm_rule,
        "cases": views.cases,
        "recovered": views.recovered,
        "disagreement": views.disagreement,
        "depth": views.depth,
        "detector-table": views.guard_table,
        "natural-errors": views.natural_errors,
        "detectors-known": views.known,
    }
)


def write_csv(rows: Rows) -> str:
    """CSV text with a header: nested values get joined names, null is empty; an empty string without rows."""
    flat = [_flat(row) for row in rows]
    if not flat:
        return ""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(flat[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return text.getvalue()


def _flat(row: Mapping[str, Any], prefix: str = "") -> dict[str, object]:
    """One level of names: {"a": {"b": 1}} becomes {"a_b": 1}; lists are joined with spaces, null stays null."""
    found: dict[str, object] = {}
    for key, value in row.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{key}_")
        else:
            found[prefix + key] = as_text(" ".join(map(str, value)) if isinstance(value, list) else value)
    return found


def as_text(value: object) -> object:
    """A cell that a spreadsheet takes for text: names that begin like a formula get an apostrophe before them."""
    if not isinstance(value, str) or not value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return value
    try:
        _ = [float(part) for part in value.split()]
    except ValueError:
        return f"'{value}"
    return value
