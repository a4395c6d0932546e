"""What `compare` found, as the terminal shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pixelproof.cli.screen import err, loud, out, percent, table

if TYPE_CHECKING:
    from pixelproof.views.commands import ComparisonAnswer
    from pixelproof.views.commands.compared import ComparisonRow

SCORES = ("precision", "recall", "f1", "loss")


def show(found: ComparisonAnswer, names: tuple[str, str]) -> None:
    """Print what `compare` found."""
    out.print(found.verdict, style="bold", markup=False, highlight=False)
    out.print(f"A is {names[0]}, B is {names[1]}; {found.data}, n={found.n}, seed {found.seed}", highlight=False)
    rows = [
        (
            short(cell),
            percent(cell.first.accuracy),
            percent(cell.second.accuracy),
            str(cell.difference),
            f"{cell.only_first} / {cell.only_second}",
            f"{cell.p_holm:.2g}" + (" *" if cell.significant else ""),
        )
        for cell in found.cells
    ]
    heads = ["condition", "A", "B", "B - A", "right: A / B only", "p (Holm)"]
    table("accuracy, under attack an upper bound", heads, rows)
    scores = [
        (short(cell), *(f"{getattr(cell.first, key):.3f} / {getattr(cell.second, key):.3f}" for key in SCORES))
        for cell in found.cells
    ]
    table("macro scores, A / B", ["condition", "precision", "recall", "F1", "loss"], scores)
    loud(found.warnings)
    err.print(found.limit, style="dim")


def short(cell: ComparisonRow) -> str:
    """The condition without the settings that are the same everywhere: attack and budget."""
    name, _, settings = cell.condition.partition(":")
    budget = [part for part in settings.split(",") if part.startswith("eps=")]
    return " ".join([name, *budget])
