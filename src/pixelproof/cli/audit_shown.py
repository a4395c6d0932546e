"""What `audit` found, as the terminal shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from pixelproof.cli.screen import err, loud, out, percent, table

if TYPE_CHECKING:
    from pixelproof.views.commands import AuditAnswer

COLOURS = {"raised": "bold red", "noted": "yellow", "clear": "green", "not run": "dim"}
NAMED = 8  # images of a flag that are named


def show(found: AuditAnswer) -> None:
    """Print what `audit` found."""
    out.print(found.verdict, style="bold green" if found.believable else "bold red", markup=False, highlight=False)
    loud(found.warnings)
    out.print(f"clean accuracy {percent(found.clean_accuracy)}, n={found.n}", highlight=False)
    out.print(f"left standing of the correctly classified: {percent(found.left_standing)}", highlight=False)
    proven = found.robust_accuracy_at_least
    if proven is not None and proven.hits:
        at_least = f"robust accuracy >= {percent(proven)}"
        out.print(f"proven by interval bounds, whatever attacks miss: {at_least}", highlight=False)
    rows = []
    for number, flag in enumerate(found.flags, 1):
        status = "noted" if flag.status == "raised" and not flag.blocks else flag.status
        seen = flag.found.removeprefix("not run: ")
        if flag.images:
            more = len(flag.images) - NAMED
            seen += f"; images {', '.join(map(str, flag.images[:NAMED]))}" + (f" and {more} more" if more > 0 else "")
        rows.append((str(number), flag.flag, Text(status, style=COLOURS[status]), seen))
    table("", ["", "red flag", "result", "what was seen"], rows, words=True)
    err.print("a raised flag blocks the claim, a noted one is to be kept in mind; tests and thresholds: docs/audit.md")
