"""A paper's figures beside ours, with the difference."""

from __future__ import annotations

from typing import Any

from pixelproof.run import Run
from pixelproof.views.attacks import robustness
from pixelproof.views.overview import overview


def paper(run: Run) -> list[dict[str, Any]]:
    """One row per figure: source, what it measures, the paper's value and ours, as shares so that n may differ."""
    table = {(row["attack"], row["eps"]): row for row in robustness(run)}
    rows = []
    for figure in run.spec["paper"]:
        for position, value in enumerate(figure["values"]):
            eps = figure["eps"][position] if figure["eps"] else None
            share = value / figure["n"] if figure["measure"] == "misclassified" and figure["n"] else value
            ours = _ours(run, table.get((figure["attack"], eps)), figure["measure"])
            rows.append(
                {
                    "source": figure["source"],
                    "measure": figure["measure"],
                    "attack": figure["attack"],
                    "eps": eps,
                    "paper": value,
                    "paper_n": figure["n"],
                    "paper_share": share,
                    **ours,
                    "difference": None if ours["share"] is None else ours["share"] - share,
                }
            )
    return rows


def _ours(run: Run, row: dict[str, Any] | None, measure: str) -> dict[str, Any]:
    """Our count, number of images and share for one measure; nulls where the study did not run that cell."""
    if measure == "clean accuracy":
        clean = overview(run)["clean_accuracy"]
        return {"ours": clean["hits"], "n": clean["n"], "share": clean["value"]}
    if row is None:
        return {"ours": None, "n": None, "share": None}
    if measure == "robust accuracy":
        held = row["robust_accuracy"]
        return {"ours": held["hits"], "n": held["n"], "share": held["value"]}
    return {"ours": row["misclassified"], "n": row["n"], "share": row["misclassified"] / row["n"]}
