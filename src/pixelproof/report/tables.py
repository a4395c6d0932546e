"""Rows of the CSV files out of the views, and their text: one row per cell, empty where there is no value."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from pixelproof import specs, views
from pixelproof.types import Rate
from pixelproof.views import OpenRun
from pixelproof.views.answer import Answer, Estimate, held
from pixelproof.views.detectors import Detectors
from pixelproof.views.training import EpochScores

PARTS = {Rate: ("value", "low", "high", "hits", "n"), Estimate: ("value", "low", "high")}
NOT_IN_TABLE = (
    "plain",
    "held",
    "against",
    "certified",
    "audits",
    "macro",
    "confusion",
    "history",
)  # of a defence's row
Rows = Iterable[Mapping[str, Any]]
V = TypeVar("V")


def confusion(opened: OpenRun) -> Rows:
    """One row per cell of every matrix."""
    names = opened.clean.classes
    for matrix in views.confusion(opened):
        for name, counts in zip(names, matrix.counts, strict=True):
            for predicted, count in zip(names, counts, strict=True):
                cell = {"attack": matrix.attack, "eps": matrix.eps, "true": name}
                yield {**cell, "predicted": predicted, "count": count}


def training(opened: OpenRun) -> Rows:
    """One row per epoch; the columns of validation are empty where no images were held back."""
    found = held(lambda: views.training(opened))
    for epoch in () if found is None else found.epochs:
        row = dict(columns(epoch))
        yield row if epoch.validation else {**row, "validation": dict.fromkeys(EpochScores.model_fields)}


def rows_of(view: Callable[[OpenRun], V], part: Callable[[V], Iterable[Answer]]) -> Callable[[OpenRun], Rows]:
    """The table of one part of a view, its rows as they stand; no rows where the run does not hold it."""

    def made(opened: OpenRun) -> Rows:
        found = held(lambda: view(opened))
        return () if found is None else map(columns, part(found))

    return made


def _judged(opened: OpenRun) -> Detectors | None:
    return held(lambda: views.detectors(opened))


def detector_table(opened: OpenRun) -> Rows:
    """One row per detector of [guards]."""
    found = _judged(opened)
    return () if found is None else (columns(row, "id", "control", "roc") for row in found.guards)


def detectors_known(opened: OpenRun) -> Rows:
    """One row per detector of [guards] and attack that knows it."""
    found = _judged(opened)
    if found is None:
        return ()
    names = {row.detector for row in found.guards}
    return (columns(row, "lost") for row in found.known if row.detector in names)


def columns(row: Answer, *without: str) -> Mapping[str, Any]:
    """The fields of an answer's row, but those named."""
    fields = type(row).model_fields
    return {fields[name].serialization_alias or name: value for name, value in row if name not in without}


def robustness(opened: OpenRun) -> Rows:
    """One row per attack and budget, without what is of classes and examples."""
    found = held(lambda: views.robustness(opened))
    return (
        ()
        if found is None
        else ({**columns(row, "per_class", "set"), "notes": "; ".join(row.notes)} for row in found.rows)
    )


def detectors(opened: OpenRun) -> Rows:
    """One row per detector, attack fitted on and attack tested on."""
    found = held(lambda: views.signature_detectors(opened))
    for row in () if found is None else found.rows:
        for fitted, name in enumerate(row.attacks):
            for tested, other in enumerate(row.attacks):
                aurocs = {f"auroc_{key}": matrix[fitted][tested] for key, matrix in row.against.items()}
                yield {"detector": row.detector, "fitted": name, "tested": other, "n": row.judged_n[tested], **aurocs}


def defences(opened: OpenRun) -> Rows:
    """One row per network and row, without curves; empty where a row was not read with a mask on."""
    found = held(lambda: views.defences(opened))
    rows = () if found is None else found.rows
    names = dict.fromkeys(each.name for row in rows for each in row.held)
    for row in rows:
        under = {f"held {name}": None if (each := row.under(name)) is None else each.value for name in names}
        said = {
            f"{key} says": None if audit is None else audit.verdict
            for key, audit in (("audit", row.audit), ("audit_on", row.audit_on))
        }
        yield {**columns(row, *NOT_IN_TABLE), **under, **said}


def one_pixel(opened: OpenRun) -> Rows:
    """One row per class: images of it that fall, and pairs that reach it."""
    found = held(lambda: views.one_pixel(opened))
    for row in () if found is None else found.classes:
        sides = (("from", row.fallen), ("to", row.reached))
        yield {"class": row.name} | {
            f"{side}_{key}": getattr(rate, key) for side, rate in sides for key in ("hits", "n")
        }


def write_csv(rows: Rows) -> str:
    """CSV text with a header: nested values get joined names, null is empty; an empty string without rows."""
    flat = [_flat(row) for row in rows]
    if not flat:
        return ""
    text = io.StringIO()
    names = list(dict.fromkeys(key for row in flat for key in row))
    # a value with parts that is null in some rows stands there under its own name, which is then no column
    parted = {key for key in names if not all(key in row for row in flat) and all(row.get(key) is None for row in flat)}
    shown = [key for key in names if key not in parted]
    writer = csv.DictWriter(text, shown, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return text.getvalue()


def _flat(row: Mapping[str, Any], prefix: str = "") -> dict[str, object]:
    """One level of names: {"a": {"b": 1}} becomes {"a_b": 1}; lists are joined with spaces, null stays null.

    Beside the number of an eps stands the text that it was given as, such as 2/255.
    """
    found: dict[str, object] = {}
    for key, value in row.items():
        if isinstance(value, Rate | Estimate):
            found |= {f"{prefix}{key}_{part}": getattr(value, part) for part in PARTS[type(value)]}
        elif isinstance(value, Answer):
            found |= _flat(columns(value), f"{prefix}{key}_")
        elif isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{key}_")
        else:
            found[prefix + key] = as_text(" ".join(map(str, value)) if isinstance(value, list | tuple) else value)
            if key == "eps":
                found[f"{prefix}eps_given"] = None if value is None else specs.budget(value)
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
