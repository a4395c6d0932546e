"""A paper's figures beside ours, with the difference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from pixelproof.types import Rate
from pixelproof.views.answer import Answer, ClassName, held
from pixelproof.views.classes import ClassScores, classes
from pixelproof.views.open_run import OpenRun
from pixelproof.views.overview import overview
from pixelproof.views.robustness import RobustnessRow, robustness

SCORES = ("precision", "recall", "f1")
MEASURES = (
    "misclassified",
    "robust accuracy",
    "left standing",
    "clean accuracy",
    *SCORES,
)  # shares; others stand in their own section


class PaperRow(Answer):
    """One figure of a paper and ours, as shares so that n may differ; nulls where the study did not run that cell."""

    source: str = Field(description="Where in the paper it stands.")
    measure: str = Field(description="What is counted, such as 'misclassified'.")
    attack: str = Field(description="As the study names it.")
    class_name: ClassName = Field(description="The class that a score is of; empty for all.")
    eps: float | None = Field(description="The budget; null where there is none.")
    paper: float = Field(description="As printed there: a count of `paper_n`, or a share.")
    paper_n: int | None = Field(description="Images that the paper counts over; null for a share.")
    paper_share: float = Field(description="The paper's figure as a share.")
    ours: int | None = Field(description="Our count; null for scores of a class, which are no shares.")
    n: int | None = Field(description="Images that ours counts over.")
    share: float | None = Field(description="Our figure as a share.")
    low: float | None = Field(description="Lower end of our share's 95 % interval.")
    high: float | None = Field(description="Upper end of our share's 95 % interval.")
    difference: float | None = Field(description="Our share minus the paper's.")


class Ours(Answer):
    """Our count, number of images, share and its interval."""

    ours: int | None = Field(default=None, description="Count; null for scores of a class.")
    n: int | None = Field(default=None, description="Images that it counts over.")
    share: float | None = Field(default=None, description="Of those images.")
    low: float | None = Field(default=None, description="Lower end of the share's 95 % interval.")
    high: float | None = Field(default=None, description="Upper end of the share's 95 % interval.")


def paper(opened: OpenRun) -> tuple[PaperRow, ...]:
    """One row per figure that a share of ours stands beside; none where the study gives no paper's figures.

    A paper's "misclassified" without an n is read as a share.
    """
    figures: list[Mapping[str, Any]] = [each for each in opened.run.spec["paper"] if each["measure"] in MEASURES]
    if not figures:
        return ()
    found = held(lambda: robustness(opened))
    table = {} if found is None else {(row.attack, row.eps): row for row in found.rows}
    scores = {(row.attack, row.eps, row.class_name): row for row in classes(opened)}
    clean = overview(opened).clean_accuracy
    rows = []
    for figure in figures:
        for position, value in enumerate(figure["values"]):
            eps = figure["eps"][position] if figure["eps"] else None
            share = value / figure["n"] if figure["measure"] == "misclassified" and figure["n"] else value
            if figure["measure"] in SCORES:
                ours = _score(scores.get((figure["attack"], eps, figure.get("class", ""))), figure["measure"])
            else:
                row = table.get((figure["attack"], eps))
                rate = clean if figure["measure"] == "clean accuracy" else _counted(row, figure["measure"])
                ours = _ours(rate, broken=figure["measure"] == "misclassified")
            rows.append(
                PaperRow(
                    source=figure["source"],
                    measure=figure["measure"],
                    attack=figure["attack"],
                    class_name=figure.get("class", ""),
                    eps=eps,
                    paper=value,
                    paper_n=figure["n"],
                    paper_share=share,
                    **dict(ours),
                    difference=None if ours.share is None else ours.share - share,
                )
            )
    return tuple(rows)


def _score(found: ClassScores | None, measure: str) -> Ours:
    """Our precision, recall or F1 of one class, without an interval."""
    if found is None:
        return Ours()
    shares = {"precision": found.precision, "recall": found.recall, "f1": found.f1}
    return Ours(n=found.n, share=shares[measure])


def _counted(row: RobustnessRow | None, measure: str) -> Rate | None:
    """Of all images judged for robust accuracy; "misclassified" and "left standing" are of the attacked ones."""
    if row is None:
        return None
    return row.robust_accuracy if measure == "robust accuracy" else row.left_standing


def _ours(found: Rate | None, *, broken: bool) -> Ours:
    """Ours of what broke, or of what held or was right."""
    if found is None or found.value is None:
        return Ours()
    if broken:
        hits, share = found.n - found.hits, 1 - found.value
        return Ours(ours=hits, n=found.n, share=share, low=1 - found.high, high=1 - found.low)
    return Ours(ours=found.hits, n=found.n, share=found.value, low=found.low, high=found.high)
