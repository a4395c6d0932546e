"""What `audit` found, as JSON-able facts and as the terminal shows it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.text import Text

from pixelproof.cli.screen import err, loud, out, percent, table
from pixelproof.specs import decimal

if TYPE_CHECKING:
    from pixelproof.measure import Audit
    from pixelproof.types import Rate

COLOURS = {"raised": "bold red", "noted": "yellow", "clear": "green", "not run": "dim"}


def warnings(found: Audit) -> list[str]:
    """What the evaluation says of the network that makes any figure doubtful."""
    from pixelproof.measure import flags

    kinds = (flags.CHANCE, flags.GRADIENT_FREE, flags.NOT_FINITE)
    return [flag for flag in found.evaluation.flags if flag.startswith(kinds)]


def facts(found: Audit, proven: Rate | None, given: str = "") -> dict[str, Any]:
    """An audit as JSON-able facts: the verdict, the evaluation in short, what is proven, and every flag."""
    return {
        "verdict": found.verdict,
        "believable": found.believable,
        "n": found.evaluation.offered,
        "seed": found.evaluation.seed,
        "clean_accuracy": found.evaluation.clean_accuracy,
        "robust_accuracy_at_most": found.evaluation.robust_accuracy,
        "left_standing": found.evaluation.left_standing,
        "eps": found.evaluation.eps,
        "eps_given": given or decimal(found.evaluation.eps),
        "warnings": warnings(found),
        "robust_accuracy_at_least": proven,
        "expected_robust_accuracy": round(found.evaluation.expected_robust_accuracy, 6),
        "attack": found.evaluation.attack,
        "random": found.random,
        "reported": found.reported,
        "trained_with": found.trained_with,
        "effort": asdict(found.effort),
        "flags": [
            {
                "flag": flag.name,
                "status": finding.status,
                "blocks": flag.blocks,
                "value": finding.value,
                "found": finding.detail,
                "test": flag.test,
                "threshold": flag.threshold,
                "source": flag.source,
                "images": finding.images.tolist(),
            }
            for flag, finding in found.flags
        ],
    }


def show(found: Audit, proven: Rate | None) -> None:
    """Print what `audit` found."""
    bound = found.evaluation
    out.print(found.verdict, style="bold green" if found.believable else "bold red", markup=False, highlight=False)
    loud(warnings(found))
    out.print(f"clean accuracy {percent(bound.clean_accuracy)}, n={bound.offered}", highlight=False)
    standing = percent(bound.left_standing)
    out.print(f"left standing of the correctly classified: {standing}", highlight=False)
    if proven is not None and proven.hits:
        at_least = percent(proven)
        out.print(f"proven by interval bounds, whatever attacks miss: robust accuracy >= {at_least}", highlight=False)
    rows = []
    for number_, (flag, finding) in enumerate(found.flags, 1):
        status = "noted" if finding.raised and not flag.blocks else finding.status
        seen = finding.detail.removeprefix("not run: ")
        if len(finding.images):
            from pixelproof.measure.redflags.words import listed

            seen += f"; images {listed(finding.images)}"
        rows.append((str(number_), flag.name, Text(status, style=COLOURS[status]), seen))
    table("", ["", "red flag", "result", "what was seen"], rows, words=True)
    err.print("a raised flag blocks the claim, a noted one is to be kept in mind; tests and thresholds: docs/audit.md")
