"""What `evaluate` found: the bound, part by part and image by image, with the curve where there is one."""

from __future__ import annotations

from pydantic import Field

from pixelproof.results import Evaluation, RobustnessCurve
from pixelproof.specs import decimal
from pixelproof.types import Rate
from pixelproof.views.answer import Answer


class CommandPart(Answer):
    """One part of the evaluation: an attack with its settings, on the images that still stood."""

    part: str = Field(description="The part's name.")
    spec: str = Field(description="The attack with its settings.")
    attacked: int = Field(description="Images that still stood.")
    broke: int = Field(description="Those that it broke.")
    seconds: float = Field(description="Wall time.")


class EvaluatedImage(Answer):
    """One image that the model classifies correctly, and what the attacks made of it."""

    index: int = Field(description="Position in the original file.")
    fooled: bool = Field(description="Whether an attack broke it.")
    fooled_8bit: bool = Field(description="Whether it still fools after saving in 8 bits.")
    rate: float = Field(description="Share of passes in which it fools: 0 or 1 but for a random model.")
    distance: float | None = Field(description="In the norm of the evaluation; null where it stands.")
    broken_by: str | None = Field(description="The part that broke it; null where it stands.")
    first_break: int = Field(description="The forward pass that first saw it broken; -1 where it stands.")
    forwards: int = Field(description="Forward passes of all attacks.")
    backwards: int = Field(description="Backward passes of all attacks.")


class CurvePoints(Answer):
    """Robust accuracy over a range of budgets."""

    eps: tuple[float, ...] = Field(description="Budgets, ascending, in the norm of the evaluation.")
    robust_accuracy_at_most: tuple[Rate, ...] = Field(description="Of all images offered, by budget.")
    searched: int = Field(description="Images that there was time for; the others count as standing.")
    distance: tuple[float | None, ...] = Field(description="Smallest known breaking distance of each image.")


class EvaluationAnswer(Answer):
    """The robust accuracy that an ensemble of attacks left: an upper bound."""

    attack: str = Field(description="The ensemble as a spec.")
    data: str = Field(description="The data set.")
    model: str = Field(description="The model.")
    seed: int = Field(description="Of the attacks, and of the sample.")
    n: int = Field(description="Images offered, misclassified ones included.")
    clean_accuracy: Rate = Field(description="Of all images offered.")
    robust_accuracy_at_most: Rate = Field(description="Of all images offered.")
    left_standing: Rate = Field(description="Of the correctly classified images.")
    norm: str = Field(description="Of the budget.")
    eps: float = Field(description="The budget.")
    eps_given: str = Field(description="The budget as it was written, such as 8/255.")
    expected_robust_accuracy: float = Field(description="Each image counted by how often it holds.")
    undecided: int = Field(description="Images of a random model that fool in about half of the passes.")
    random: bool = Field(description="Whether the model answers differently each time.")
    ended: str = Field(description="Why the evaluation stopped.")
    seconds: float = Field(description="Wall time.")
    flags: tuple[str, ...] = Field(description="Signs that the figure is not what it seems.")
    notes: tuple[str, ...] = Field(description="How attacks went where they did not go as usual.")
    curve: CurvePoints | None = Field(description="Null where none was asked for.")
    bounds: tuple[tuple[float, float, str], ...] = Field(description="Seconds, bound then, part at work.")
    parts: tuple[CommandPart, ...] = Field(description="In the order they ran.")
    images: tuple[EvaluatedImage, ...] = Field(description="Those that the model classifies correctly.")


def evaluated(found: Evaluation, curve: RobustnessCurve | None = None, given: str = "") -> EvaluationAnswer:
    """An evaluation as an answer; `given` is the budget as it was written."""
    return EvaluationAnswer(
        attack=found.attack,
        data=found.data,
        model=found.model,
        seed=found.seed,
        n=found.offered,
        clean_accuracy=found.clean_accuracy,
        robust_accuracy_at_most=found.robust_accuracy,
        left_standing=found.left_standing,
        norm=found.norm,
        eps=found.eps,
        eps_given=given or decimal(found.eps),
        expected_robust_accuracy=round(found.expected_robust_accuracy, 6),
        undecided=found.undecided,
        random=found.random,
        ended=found.ended,
        seconds=round(found.seconds, 3),
        flags=found.flags,
        notes=found.notes,
        curve=None if curve is None else _points(curve),
        bounds=tuple((round(b.seconds, 3), round(b.standing / found.offered, 6), b.part) for b in found.bounds),
        parts=parts(found),
        images=tuple(_image(found, row) for row in range(len(found))),
    )


def parts(found: Evaluation) -> tuple[CommandPart, ...]:
    """The parts of an evaluation in their order."""
    return tuple(
        CommandPart(part=p.label, spec=p.spec, attacked=p.attacked, broke=p.broke, seconds=round(p.seconds, 3))
        for p in found.parts
    )


def _points(curve: RobustnessCurve) -> CurvePoints:
    return CurvePoints(
        eps=curve.eps,
        robust_accuracy_at_most=curve.robust_accuracy,
        searched=curve.searched,
        distance=tuple(round(float(each), 6) if each.isfinite() else None for each in curve.distance),
    )


def _image(found: Evaluation, row: int) -> EvaluatedImage:
    return EvaluatedImage(
        index=int(found.index[row]),
        fooled=bool(found.success[row]),
        fooled_8bit=bool(found.success_8bit[row]),
        rate=round(float(found.rate[row]), 4),
        distance=round(float(found.distance[row]), 6) if found.success[row] else None,
        broken_by=found.breaker(row),
        first_break=int(found.first_break[row]),
        forwards=int(found.passes[row, 0]),
        backwards=int(found.passes[row, 1]),
    )
