"""Two runs on the same test images: under each attack both ran, what may be said of the difference."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from pixelproof.measure.compare import Comparison
from pixelproof.measure.significance import holm, mcnemar
from pixelproof.measure.significance import paired as difference
from pixelproof.run import Run
from pixelproof.types import Rate
from pixelproof.views.answer import Lacking
from pixelproof.views.attack_records import records
from pixelproof.views.open_run import OpenRun
from pixelproof.views.overview import rate

Condition = tuple[str | None, str | None, float | None]


def paired(first: OpenRun, second: OpenRun) -> dict[str, Any]:
    """Accuracy of both classifiers on the test images both runs have, clean and under each attack and budget of both.

    An image counts as right where it was classified correctly and the attack on that very classifier did not turn it.
    """
    shared = _shared(first, second)
    sides = [_right(opened, shared) for opened in (first, second)]
    conditions = [condition for condition in sides[0] if condition in sides[1]]
    counts = []
    for condition in conditions:
        a, b = (side[condition] for side in sides)
        counts.append((int((a & ~b).sum()), int((b & ~a).sum())))
    p = [mcnemar(*count) for count in counts]
    cells = []
    for condition, (only_first, only_second), value, adjusted in zip(conditions, counts, p, holm(p), strict=True):
        cells.append(
            {
                **dict(zip(("attack", "norm", "eps"), condition, strict=True)),
                **{name: _rate(side[condition]) for name, side in zip(("first", "second"), sides, strict=True)},
                "only_first": only_first,
                "only_second": only_second,
                "p": value,
                "p_holm": adjusted,
                "difference": asdict(difference(only_first, only_second, len(shared), seed=first.run.spec["seed"])),
            }
        )
    return {"n": len(shared), "cells": cells, "limit": Comparison.LIMIT}


def _shared(first: OpenRun, second: OpenRun) -> Tensor:
    """Positions of the test images that both runs used; Lacking where there are none."""
    names = {opened.run.spec["data"]["name"] for opened in (first, second)}
    shared = first.clean.index[torch.isin(first.clean.index, second.clean.index)]
    if len(names) > 1 or not len(shared):
        raise Lacking("paired comparison", "The runs share no test image.", "Open two runs on the same data.")
    return shared


def _right(opened: OpenRun, shared: Tensor) -> dict[Condition, Tensor]:
    """By condition, which of the shared images the classifier still gets right; the clean ones first."""
    clean = opened.clean
    standing: dict[Condition, Tensor] = {(None, None, None): clean.index[clean.labels == clean.predicted]}
    standing |= _under(opened.run)
    return {condition: torch.isin(shared, index) for condition, index in standing.items()}


def _under(run: Run) -> dict[Condition, Tensor]:
    """The images that each attack left standing."""
    return {(each.label, each.norm, each.eps): each.index[~each.success] for each in records(run)}


def _rate(right: Tensor) -> dict[str, Any]:
    return rate(Rate(int(right.sum()), len(right)))
