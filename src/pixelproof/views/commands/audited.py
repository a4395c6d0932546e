"""What `audit` found: the verdict, the evaluation in short, what is proven, and every red flag."""

from __future__ import annotations

from pydantic import Field

from pixelproof.measure import flags
from pixelproof.results import Audit, Effort
from pixelproof.specs import decimal
from pixelproof.types import Rate
from pixelproof.views.answer import Answer
from pixelproof.views.commands.evaluated import CommandPart, parts

DOUBTS = (flags.CHANCE, flags.GRADIENT_FREE, flags.NOT_FINITE)  # of an evaluation: they make any figure doubtful


class CommandFlag(Answer):
    """One red flag of an audit."""

    flag: str = Field(description="Its name in the table of red flags.")
    status: str = Field(description="'raised', 'clear' or 'not run'.")
    blocks: bool = Field(description="Whether the flag, once raised, leaves the bound unbelievable.")
    value: float | None = Field(description="What was measured; null where the test could not run.")
    found: str = Field(description="What was seen, in one sentence.")
    test: str = Field(description="What was tested.")
    threshold: str = Field(description="From which value on it is raised.")
    source: str = Field(description="After whom.")
    images: tuple[int, ...] = Field(description="Positions in the original file of the images that raise the flag.")


class AuditAnswer(Answer):
    """What may be said of a model's robustness: a bound, or "not shown robust" with the reasons."""

    verdict: str = Field(description="What may be said, in one sentence.")
    believable: bool = Field(description="Whether no flag blocks the bound.")
    data: str = Field(description="The data set.")
    model: str = Field(description="The model.")
    n: int = Field(description="Images offered, misclassified ones included.")
    seed: int = Field(description="Of the attacks, and of the sample.")
    clean_accuracy: Rate = Field(description="Of all images offered.")
    robust_accuracy_at_most: Rate = Field(description="Of all images offered.")
    left_standing: Rate = Field(description="Of the correctly classified images.")
    norm: str = Field(description="Of the budget.")
    eps: float = Field(description="The budget.")
    eps_given: str = Field(description="The budget as it was written, such as 8/255.")
    warnings: tuple[str, ...] = Field(description="What makes any figure of this model doubtful.")
    robust_accuracy_at_least: Rate | None = Field(description="Proven by interval bounds; null where they cannot be.")
    expected_robust_accuracy: float = Field(description="Each image counted by how often it holds.")
    attack: str = Field(description="The ensemble as a spec.")
    random: bool = Field(description="Whether the model answers differently each time.")
    reported: str = Field(description="The attack whose figure is quoted.")
    trained_with: str | None = Field(description="The attack of the training; null where none is known.")
    effort: Effort = Field(description="What the tests were given.")
    flags: tuple[CommandFlag, ...] = Field(description="Every red flag, in the table's order.")
    notes: tuple[str, ...] = Field(description="How attacks went where they did not go as usual.")
    parts: tuple[CommandPart, ...] = Field(description="The evaluation, part by part.")


def audited(found: Audit, proven: Rate | None, given: str = "") -> AuditAnswer:
    """An audit as an answer; `given` is the budget as it was written."""
    evaluation = found.evaluation
    return AuditAnswer(
        verdict=found.verdict,
        believable=found.believable,
        data=evaluation.data,
        model=evaluation.model,
        n=evaluation.offered,
        seed=evaluation.seed,
        clean_accuracy=evaluation.clean_accuracy,
        robust_accuracy_at_most=evaluation.robust_accuracy,
        left_standing=evaluation.left_standing,
        norm=evaluation.norm,
        eps=evaluation.eps,
        eps_given=given or decimal(evaluation.eps),
        warnings=tuple(flag for flag in evaluation.flags if flag.startswith(DOUBTS)),
        robust_accuracy_at_least=proven,
        expected_robust_accuracy=round(evaluation.expected_robust_accuracy, 6),
        attack=evaluation.attack,
        random=found.random,
        reported=found.reported,
        trained_with=found.trained_with,
        effort=found.effort,
        flags=tuple(
            CommandFlag(
                flag=flag.name,
                status=finding.status,
                blocks=flag.blocks,
                value=finding.value,
                found=finding.detail,
                test=flag.test,
                threshold=flag.threshold,
                source=flag.source,
                images=tuple(finding.images.tolist()),
            )
            for flag, finding in found.flags
        ),
        notes=evaluation.notes,
        parts=parts(evaluation),
    )
