"""A paper's figures beside ours, with the difference."""

from __future__ import annotations

from typing import Any

from pixelproof.run import Run
from pixelproof.views.attacks import classes, robustness
from pixelproof.views.open_run import OpenRun
from pixelproof.views.overview import overview, rate


def paper(run: Run) -> list[dict[str, Any]]:
    """One row per figure: source, what it measures, the paper's value and ours, as shares so that n may differ.

    `low` and `high` are the 95 % interval of our share; `difference` is ours minus the paper's; nulls where the study
    did not run that cell. A paper's "misclassified" without an n is read as a share.
    """
    table = {(row["attack"], row["eps"]): row["robust_accuracy"] for row in robustness(run)}
    scores = {(row["attack"], row["eps"], row["class"]): row for row in classes(run)}
    clean = rate(overview(OpenRun(run, run.folder.name)).clean_accuracy)
    rows = []
    for figure in run.spec["paper"]:
        if figure["measure"] == "neighbours k":  # no share: it stands beside ours in `alarm_rule`
            continue
        for position, value in enumerate(figure["values"]):
            eps = figure["eps"][position] if figure["eps"] else None
            share = value / figure["n"] if figure["measure"] == "misclassified" and figure["n"] else value
            if figure["measure"] in ("precision", "recall", "f1"):
                ours = _score(scores.get((figure["attack"], eps, figure.get("class", ""))), figure["measure"])
            else:
                found = clean if figure["measure"] == "clean accuracy" else table.get((figure["attack"], eps))
                ours = _ours(found, broken=figure["measure"] == "misclassified")
            rows.append(
                {
                    "source": figure["source"],
                    "measure": figure["measure"],
                    "attack": figure["attack"],
                    "class": figure.get("class", ""),
                    "eps": eps,
                    "paper": value,
                    "paper_n": figure["n"],
                    "paper_share": share,
                    **ours,
                    "difference": None if ours["share"] is None else ours["share"] - share,
                }
            )
    return rows


def _score(found: dict[str, Any] | None, measure: str) -> dict[str, Any]:
    """Our precision, recall or F1 of one class, without an interval."""
    if found is None:
        return _ours(None, broken=False)
    return {"ours": None, "n": found["n"], "share": found[measure], "low": None, "high": None}


def _ours(found: dict[str, Any] | None, *, broken: bool) -> dict[str, Any]:
    """Our count, number of images, share and its interval; of what broke, or of what held or was right."""
    if found is None:
        return {"ours": None, "n": None, "share": None, "low": None, "high": None}
    if broken:
        hits, share, low, high = found["n"] - found["hits"], 1 - found["value"], 1 - found["high"], 1 - found["low"]
    else:
        hits, share, low, high = found["hits"], found["value"], found["low"], found["high"]
    return {"ours": hits, "n": found["n"], "share": share, "low": low, "high": high}
