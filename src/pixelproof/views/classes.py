"""What happens to each class: scores for every attack and budget, and what is taken for what."""

from __future__ import annotations

from pydantic import Field

from pixelproof.scores import Confusion, Scores
from pixelproof.scores import confusion as count
from pixelproof.views.answer import Answer, ClassName
from pixelproof.views.attack_records import records
from pixelproof.views.open_run import OpenRun


class ClassScores(Answer):
    """One class under one attack at one budget, on the attacked images (paper 1, Table IV)."""

    attack: str = Field(description="As the study names it.")
    eps: float | None = Field(description="The budget; null for attacks that look for the smallest change.")
    class_name: ClassName = Field(description="True class.")
    n: int = Field(description="Attacked images of this class.")
    precision: float | None = Field(description="Null, as the others, for a class that does not occur.")
    recall: float | None = Field(description="Share of this class's images that are still taken for it.")
    f1: float | None = Field(description="Harmonic mean of precision and recall.")


class ConfusionMatrix(Answer):
    """Counts of (true class, predicted class): of all clean test images, or of the images attacked at one budget."""

    attack: str = Field(description="Or 'clean'.")
    eps: float | None = Field(
        description="The budget; null for clean images and attacks that look for the smallest change."
    )
    counts: tuple[tuple[int, ...], ...] = Field(description="Rows are true classes, columns predicted ones.")

    @property
    def n(self) -> int:
        """Images counted."""
        return sum(map(sum, self.counts))


def classes(opened: OpenRun) -> tuple[ClassScores, ...]:
    """One row per attack, budget and class; none without attacks."""
    names, rows = opened.clean.classes, []
    for record in records(opened.run):
        scores = Scores.of(count(record.labels, record.predicted, len(names)))
        for k, name in enumerate(names):
            rows.append(
                ClassScores(
                    attack=record.label,
                    eps=record.eps,
                    class_name=name,
                    n=int((record.labels == k).sum()),
                    **scores.of_class(k),
                )
            )
    return tuple(rows)


def confusion(opened: OpenRun) -> tuple[ConfusionMatrix, ...]:
    """The matrix of the clean test images first, then that of every attack and budget."""
    clean = opened.clean
    width = len(clean.classes)
    counts = count(clean.labels, clean.predicted, width)
    matrices = [ConfusionMatrix(attack="clean", eps=0.0, counts=_plain(counts))]
    for record in records(opened.run):
        counts = count(record.labels, record.predicted, width)
        matrices.append(ConfusionMatrix(attack=record.label, eps=record.eps, counts=_plain(counts)))
    return tuple(matrices)


def _plain(counts: Confusion) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(row) for row in counts.tolist())
