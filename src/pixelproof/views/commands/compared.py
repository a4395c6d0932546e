"""What `compare` found: two models on the same images, cell by cell."""

from __future__ import annotations

from pydantic import Field

from pixelproof.measure import flags
from pixelproof.results import Comparison, ComparisonCell, Difference
from pixelproof.types import Rate
from pixelproof.views.answer import Answer


class ComparisonSide(Answer):
    """One model under one condition; scores are unweighted means over the classes."""

    accuracy: Rate = Field(description="Of all images; under attack an upper bound.")
    precision: float = Field(description="Macro.")
    recall: float = Field(description="Macro.")
    f1: float = Field(description="Macro.")
    loss: float = Field(description="Mean cross-entropy.")


class ComparisonRow(Answer):
    """Two models under one condition."""

    condition: str = Field(description="'clean', or the spec of an attack.")
    first: ComparisonSide = Field(description="The first model.")
    second: ComparisonSide = Field(description="The second model.")
    only_first: int = Field(description="Images that only the first model gets right.")
    only_second: int = Field(description="Images that only the second model gets right.")
    difference: Difference = Field(description="Accuracies, second minus first, as shares.")
    p: float = Field(description="McNemar's exact test.")
    p_holm: float = Field(description="Adjusted for all cells of the comparison.")
    significant: bool = Field(description="Whether the difference stands after the adjustment, at 5 %.")


class ComparisonAnswer(Answer):
    """Two trained networks on the same images."""

    first: str = Field(description="The first model.")
    second: str = Field(description="The second model.")
    data: str = Field(description="The data set.")
    n: int = Field(description="Images that both answered.")
    seed: int = Field(description="Of attacks and intervals.")
    verdict: str = Field(description="Which is better where, in one sentence.")
    limit: str = Field(description="What this comparison does not say.")
    warnings: tuple[str, ...] = Field(description="What makes the clean accuracies suspicious.")
    cells: tuple[ComparisonRow, ...] = Field(description="One row per condition, clean first.")


def compared(found: Comparison) -> ComparisonAnswer:
    """A comparison as an answer."""
    clean = found.cells[0]
    said = ((found.first, clean.first), (found.second, clean.second))
    return ComparisonAnswer(
        first=found.first,
        second=found.second,
        data=found.data,
        n=found.n,
        seed=found.seed,
        verdict=found.verdict,
        limit=found.LIMIT,
        warnings=tuple(f"{name}: {warning}" for name, rate in said if (warning := flags.chance(rate, found.classes))),
        cells=tuple(_row(cell) for cell in found.cells),
    )


def _row(cell: ComparisonCell) -> ComparisonRow:
    return ComparisonRow(
        condition=cell.condition,
        first=ComparisonSide(accuracy=cell.first, **cell.first_scores),
        second=ComparisonSide(accuracy=cell.second, **cell.second_scores),
        only_first=cell.only_first,
        only_second=cell.only_second,
        difference=cell.difference,
        p=cell.p,
        p_holm=cell.p_holm,
        significant=cell.significant,
    )
