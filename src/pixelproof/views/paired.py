"""Two runs on the same test images: under each attack both ran, what may be said of the difference."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from pixelproof.measure.significance import holm, mcnemar
from pixelproof.measure.significance import paired as difference
from pixelproof.results import Comparison
from pixelproof.run import Run
from pixelproof.types import Rate
from pixelproof.views.answer import Answer, Estimate, Lacking
from pixelproof.views.attack_records import records
from pixelproof.views.open_run import OpenRun

Condition = tuple[str | None, str | None, float | None]


class PairedCell(Answer):
    """Two classifiers on the same images under one attack at one budget (nulls: clean); `difference` second - first."""

    attack: str | None = Field(description="As the studies name it; null for clean images.")
    norm: str | None = Field(description="Of the budget; null for clean images.")
    eps: float | None = Field(description="The budget in that norm; null for clean images.")
    first: Rate = Field(description="Images that the first classifier gets right.")
    second: Rate = Field(description="Images that the second classifier gets right.")
    only_first: int = Field(description="Images that only the first classifier gets right.")
    only_second: int = Field(description="Images that only the second classifier gets right.")
    difference: Estimate = Field(
        description="Of the two shares, second minus first, with its bootstrap interval over images."
    )
    p: float = Field(description="McNemar's exact p-value.")
    p_holm: float = Field(description="Adjusted for all cells (Holm).")


class Paired(Answer):
    """Two runs compared image by image."""

    available: Literal[True] = True
    n: int = Field(description="Test images that both runs used.")
    cells: tuple[PairedCell, ...] = Field(
        description="Clean images first, then every attack and budget that both runs hold."
    )
    limit: str = Field(description="What this comparison cannot say.")


def paired(first: OpenRun, second: OpenRun) -> Paired:
    """Accuracy of both classifiers on the test images both runs have, clean and under each attack and budget of both.

    An image counts as right where it was classified correctly and the attack on that very classifier did not turn it.
    """
    shared = _shared(first, second)
    return Paired(n=len(shared), cells=tuple(_cells(first, second, shared)), limit=Comparison.LIMIT)


def _cells(first: OpenRun, second: OpenRun, shared: Tensor) -> Iterator[PairedCell]:
    sides = [_right(opened, shared) for opened in (first, second)]
    conditions = [condition for condition in sides[0] if condition in sides[1]]
    pairs = [(sides[0][condition], sides[1][condition]) for condition in conditions]
    counts = [(int((a & ~b).sum()), int((b & ~a).sum())) for a, b in pairs]
    p = [mcnemar(*count) for count in counts]
    for condition, pair, count, value, adjusted in zip(conditions, pairs, counts, p, holm(p), strict=True):
        attack, norm, eps = condition
        apart = difference(*count, len(shared), seed=first.run.spec["seed"])
        yield PairedCell(
            attack=attack,
            norm=norm,
            eps=eps,
            first=_rate(pair[0]),
            second=_rate(pair[1]),
            only_first=count[0],
            only_second=count[1],
            difference=Estimate(apart.value, apart.low, apart.high),
            p=value,
            p_holm=adjusted,
        )


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


def _rate(right: Tensor) -> Rate:
    return Rate(int(right.sum()), len(right))
