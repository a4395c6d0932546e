"""What `compare` found, as JSON-able facts and as the terminal shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pixelproof.cli.screen import err, loud, out, percent, table

if TYPE_CHECKING:
    from pixelproof.measure import Comparison, ComparisonCell


def facts(found: Comparison) -> dict[str, Any]:
    """A comparison as JSON-able facts, cell by cell."""
    return {
        "first": found.first,
        "second": found.second,
        "data": found.data,
        "n": found.n,
        "seed": found.seed,
        "verdict": found.verdict,
        "limit": found.LIMIT,
        "warnings": warnings(found),
        "cells": [
            {
                "condition": cell.condition,
                "first": {"accuracy": cell.first, **cell.first_scores},
                "second": {"accuracy": cell.second, **cell.second_scores},
                "only_first": cell.only_first,
                "only_second": cell.only_second,
                "difference": {
                    "value": cell.difference.value,
                    "low": cell.difference.low,
                    "high": cell.difference.high,
                },
                "p": cell.p,
                "p_holm": cell.p_holm,
            }
            for cell in found.cells
        ],
    }


def warnings(found: Comparison) -> list[str]:
    """What makes the clean accuracies of the two suspicious."""
    from pixelproof.measure import flags

    clean = found.cells[0]
    said = ((found.first, clean.first), (found.second, clean.second))
    return [f"{name}: {warning}" for name, rate in said if (warning := flags.chance(rate, found.classes))]


def show(found: Comparison, names: tuple[str, str]) -> None:
    """Print what `compare` found."""
    out.print(found.verdict, style="bold", markup=False, highlight=False)
    out.print(f"A is {names[0]}, B is {names[1]}; {found.data}, n={found.n}, seed {found.seed}", highlight=False)
    rows = [
        (
            short(cell),
            percent(cell.first),
            percent(cell.second),
            str(cell.difference),
            f"{cell.only_first} / {cell.only_second}",
            f"{cell.p_holm:.2g}" + (" *" if cell.significant else ""),
        )
        for cell in found.cells
    ]
    heads = ["condition", "A", "B", "B - A", "right: A / B only", "p (Holm)"]
    table("accuracy, under attack an upper bound", heads, rows)
    keys = ("precision", "recall", "f1", "loss")
    scores = [
        (short(cell), *(f"{cell.first_scores[key]:.3f} / {cell.second_scores[key]:.3f}" for key in keys))
        for cell in found.cells
    ]
    table("macro scores, A / B", ["condition", "precision", "recall", "F1", "loss"], scores)
    loud(warnings(found))
    err.print(found.LIMIT, style="dim")


def short(cell: ComparisonCell) -> str:
    """The condition without the settings that are the same everywhere: attack and budget."""
    name, _, settings = cell.condition.partition(":")
    budget = [part for part in settings.split(",") if part.startswith("eps=")]
    return " ".join([name, *budget])
