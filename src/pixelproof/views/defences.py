"""Hardened models beside each other: the rows, how their eps was found, the paper's utility, and the search."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from pydantic import Field

from pixelproof.results import catalogue
from pixelproof.run import Run
from pixelproof.views.answer import Answer, Lacking
from pixelproof.views.hardened import HardenedRow, hardened_rows
from pixelproof.views.open_run import OpenRun


class FoundBudget(Answer):
    """The eps at which FGSM leaves a network's baseline `accuracy` of n validation images, and every eps tried."""

    net: str = Field(description="The network that was attacked.")
    eps: float = Field(description="The budget that was found.")
    wanted: float = Field(description="The accuracy that was asked for.")
    accuracy: float = Field(description="The accuracy that FGSM leaves at eps.")
    n: int = Field(description="Validation images.")
    tried: tuple[float, ...] = Field(description="Every eps in the order it was tried.")
    reached: tuple[float, ...] = Field(description="The accuracy left at each eps tried.")


class Utility(Answer):
    """Paper 2's utility (Eq. 34) of a row, here (1 - weight) clean + weight robust, under three readings.

    The best of each reading is marked; under "ensemble" only a row that the audit lets stand can be.
    """

    net: str = Field(description="The network.")
    row: str = Field(description="The row of [defences].")
    weight: float = Field(description="Of the accuracy under attack, 0 to 1.")
    claimed: float = Field(description="Of the paper's own figures.")
    naive: float = Field(description="Of ours, mask on at test, one FGSM step without expectation.")
    ensemble: float = Field(description="Of ours, mask off at test, under the ensemble.")
    shown: bool | None = Field(description="Whether the audit, mask off, lets it stand; null: a study without audits.")
    shown_on: bool | None = Field(description="Whether the audit with the mask on does; null: there was none.")
    best_claimed: bool = Field(default=False, description="No row of the network has more.")
    best_naive: bool = Field(default=False, description="No row of the network has more.")
    best_ensemble: bool = Field(default=False, description="No row that the audit lets stand has more.")


class SearchTrial(Answer):
    """One setting of the random search, judged on n validation images, clean and under `attack` at eps."""

    net: str = Field(description="The network.")
    attack: str = Field(description="That judged it, without its budget.")
    eps: float = Field(description="The budget of the attack.")
    n: int = Field(description="Validation images.")
    mask: str = Field(description="Spec of the mask.")
    training: str = Field(description="Spec of the training.")
    clean: float = Field(description="Accuracy on the validation images.")
    robust: float = Field(description="Robust accuracy under the attack, of all n images.")
    utility: float = Field(description="(1 - weight) clean + weight robust.")
    cpu_seconds: float = Field(description="That the trial took.")


class Defences(Answer):
    """Plain and hardened models beside each other."""

    available: Literal[True] = True
    rows: tuple[HardenedRow, ...] = Field(
        description="Network by network, rows in the study's order, the plain one first."
    )
    budgets: tuple[FoundBudget, ...] = Field(description="One for each network, in the study's order.")
    utilities: tuple[Utility, ...] = Field(description="One for each row of which the paper has figures.")
    search: tuple[SearchTrial, ...] = Field(description="Best utility first; empty where nothing was searched.")


def defences(opened: OpenRun) -> Defences:
    """One row per network and row of [defences]; Lacking in a run that hardened no model."""
    run = opened.run
    rows = hardened_rows(run)
    if not rows:
        raise Lacking("hardened models", "This run hardened no model.", "Add [defences] with its rows to the study.")
    weight = run.spec["defences"]["weight"]
    return Defences(
        rows=tuple(rows), budgets=tuple(_budgets(run)), utilities=tuple(_utilities(rows, weight)), search=_searched(run)
    )


def front(rows: Sequence[HardenedRow]) -> list[str]:
    """The rows that no other beats in clean accuracy and in accuracy under the ensemble at once."""
    points = [(row.clean.value, row.robust) for row in rows]

    def beaten(clean: float, robust: float) -> bool:
        return any(other[0] >= clean and other[1] >= robust and other != (clean, robust) for other in points)

    return [row.row for row, point in zip(rows, points, strict=True) if not beaten(*point)]


def _budgets(run: Run) -> Iterator[FoundBudget]:
    found = {record.net: record for record in catalogue.BUDGETS.all(run)}
    for net in run.spec["defences"]["nets"]:
        if net in found:
            record = found[net]
            yield FoundBudget(
                net=net,
                eps=record.eps,
                wanted=record.wanted,
                accuracy=record.accuracy,
                n=record.n,
                tried=record.tried,
                reached=record.reached,
            )


def _utilities(rows: Sequence[HardenedRow], weight: float) -> Iterator[Utility]:
    found = [utility for row in rows if (utility := _utility(row, weight)) is not None]
    for each in found:
        rivals = [other for other in found if other.net == each.net]
        able = [other for other in rivals if other.shown is not False]
        yield each.model_copy(
            update={
                "best_claimed": each.claimed == max(other.claimed for other in rivals),
                "best_naive": each.naive == max(other.naive for other in rivals),
                "best_ensemble": each in able and each.ensemble == max(other.ensemble for other in able),
            }
        )


def _utility(row: HardenedRow, weight: float) -> Utility | None:
    """None for a row of which the paper has no figures."""
    if row.paper.robust is None or row.paper.clean is None:
        return None
    clean = row.under("on:clean") or row.clean
    return Utility(
        net=row.net,
        row=row.row,
        weight=weight,
        claimed=(1 - weight) * row.paper.clean + weight * row.paper.robust,
        naive=(1 - weight) * clean.value + weight * row.accuracy("on:naive fgsm", "fgsm"),
        ensemble=(1 - weight) * row.clean.value + weight * row.robust,
        shown=row.shown,
        shown_on=None if row.audit_on is None else row.audit_on.believable,
    )


def _searched(run: Run) -> tuple[SearchTrial, ...]:
    record = catalogue.SEARCH.find(run)
    if record is None:
        return ()
    return tuple(
        SearchTrial(
            net=record.net,
            attack=record.attack,
            eps=record.eps,
            n=record.n,
            mask=record.specs[k],
            training=record.trainings[k],
            clean=float(record.clean[k]),
            robust=float(record.robust[k]),
            utility=float(record.utility[k]),
            cpu_seconds=float(record.cpu_seconds[k]),
        )
        for k in record.utility.argsort(descending=True).tolist()
    )
