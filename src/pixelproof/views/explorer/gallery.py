"""The gallery: every example with whole images as columns, and which of the cases each detector makes of it."""

from __future__ import annotations

from math import ceil
from typing import Any

import torch
from torch import Tensor

from pixelproof.views import paths
from pixelproof.views.example_sets import Shown
from pixelproof.views.open_run import OpenRun

CASES = (
    "no detector was asked",
    "true negative: clean, no alarm",
    "false positive: clean, alarm",
    "true positive: fooled the classifier, alarm",
    "false negative: fooled the classifier, no alarm",
    "failed attack, alarm",
    "failed attack, no alarm",
)
UNKNOWN, TRUE_NEGATIVE, FALSE_POSITIVE, TRUE_POSITIVE, FALSE_NEGATIVE, FAILED_ALARM, FAILED_QUIET = range(len(CASES))
PAGE = 2048  # pixels along the longer side of an atlas page: a quarter of what every browser can draw
DIGITS = 6


def gallery(opened: OpenRun) -> dict[str, Any]:
    """Columns over all examples of a run, the clean images first, then set by set; detectors are told elsewhere."""
    sets = opened.sets
    rows = sum(len(each) for each in sets)
    return {
        "run": opened.name,
        "n": rows,
        "sets": [facts(each) for each in sets],
        "cases": list(CASES),
        "atlas": atlas(opened.shape, rows, paths.at(paths.ATLAS, run=opened.name)),
        "set": [place for place, each in enumerate(sets) for _ in range(len(each))],
        "index": _joined([each.index for each in sets]),
        "label": _joined([each.labels for each in sets]),
        "predicted": _joined([each.predicted for each in sets]),
        "clean": _joined([each.clean_predicted for each in sets]),
        "success": _joined([each.success for each in sets]),
        "success_8bit": _joined([each.success_8bit for each in sets]),
        "margin": [value for each in sets for value in _numbers(each.margin, len(each))],
        "distance": {norm: [value for each in sets for value in _distance(each, norm)] for norm in _norms(sets)},
    }


def facts(each: Shown) -> dict[str, Any]:
    """What the reader is told about a set."""
    return {
        "id": each.id,
        "label": each.label,
        "source": each.source,
        "attack": each.attack,
        "family": each.family,
        "control": each.control,
        "spec": each.spec,
        "norm": each.norm,
        "eps": each.eps,
        "seed": each.seed,
        "kept": len(each),
        "attacked": each.attacked,
    }


def case(*, attacked: bool, success: bool, alarm: bool) -> int:
    """The case, as a position in CASES; only an attack that fooled the classifier counts as positive."""
    if not attacked:
        return FALSE_POSITIVE if alarm else TRUE_NEGATIVE
    if success:
        return TRUE_POSITIVE if alarm else FALSE_NEGATIVE
    return FAILED_ALARM if alarm else FAILED_QUIET


def atlas(shape: tuple[int, int, int], tiles: int, href: str) -> dict[str, Any]:
    """How many tiles of an image's size a page has, and how many pages there are."""
    _, height, width = shape
    columns, rows = max(1, PAGE // width), max(1, PAGE // height)
    if tiles < columns * rows:
        columns = min(columns, max(1, ceil(tiles**0.5)))
        rows = max(1, ceil(tiles / columns))
    pages = max(1, ceil(tiles / (columns * rows)))
    return {"href": href, "tile": [width, height], "columns": columns, "rows": rows, "pages": pages, "tiles": tiles}


def _joined(columns: list[Tensor]) -> list[Any]:
    return torch.cat(columns).tolist() if columns else []


def _numbers(values: Tensor | None, n: int) -> list[float | None]:
    return [None] * n if values is None else [round(value, DIGITS) for value in values.tolist()]


def _norms(sets: tuple[Shown, ...]) -> list[str]:
    return list(dict.fromkeys(norm for each in sets for norm in each.distance))


def _distance(each: Shown, norm: str) -> list[float | None]:
    """Distances of the successful attacks; null for the others, whose distance says nothing."""
    values = _numbers(each.distance.get(norm), len(each))
    return [value if hit else None for value, hit in zip(values, each.success.tolist(), strict=True)]
