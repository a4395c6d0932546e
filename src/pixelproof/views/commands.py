"""What `evaluate` and `audit` left in a folder of their own: the bound, the verdict, and what speaks against it."""

from __future__ import annotations

from pydantic import Field

from pixelproof.errors import RunError
from pixelproof.measure import Audit, Evaluation
from pixelproof.run import Run
from pixelproof.types import Rate
from pixelproof.views.answer import Answer
from pixelproof.views.overview import Facts

KINDS = ("evaluate", "audit")  # the commands whose --out folder holds a finished answer as a run


class CommandPart(Answer):
    """One part of the evaluation: an attack with its settings, on the images that still stood."""

    part: str
    spec: str
    attacked: int
    broke: int
    seconds: float


class CommandFlag(Answer):
    """One red flag of an audit."""

    flag: str
    status: str = Field(description="'raised', 'clear' or 'not run'.")
    blocks: bool = Field(description="Whether the flag, once raised, leaves the bound unbelievable.")
    found: str


class CommandAnswer(Answer):
    """What one command found out about one model on one data set."""

    name: str = Field(description="Of the folder.")
    title: str
    about: str = Field(description="The verdict of an audit; for an evaluation why it ended.")
    command: str
    believable: bool | None = Field(description="Whether no flag blocks the bound; null where nobody audited it.")
    data: str
    net: str
    seed: int
    norm: str
    eps: float
    attack: str
    clean_accuracy: Rate = Field(description="Of all images offered.")
    robust_accuracy: Rate = Field(description="Upper bound, of all images offered.")
    left_standing: Rate = Field(description="Upper bound, of the correctly classified images.")
    parts: tuple[CommandPart, ...]
    flags: tuple[CommandFlag, ...]
    warnings: tuple[str, ...] = Field(description="What the evaluation says of the model.")
    spec: dict[str, object] = Field(description="What was asked for.")
    facts: Facts


def is_command(run: Run) -> bool:
    """Whether a command, and not a study, wrote this run."""
    return "command" in run.spec


def command(run: Run) -> CommandAnswer:
    """The answer that a folder of `evaluate` or `audit` holds; RunError for that of another command."""
    kind = str(run.spec["command"])
    if kind not in KINDS:
        raise RunError(str(run.folder), f"expected a folder of {' or '.join(KINDS)}", kind)
    audited = run.load("audit", Audit) if kind == "audit" else None
    found = run.load("evaluation", Evaluation) if audited is None else audited.evaluation
    flags = () if audited is None else audited.flags
    return CommandAnswer(
        name=run.folder.name,
        title=f"{'Evaluation' if audited is None else 'Audit'} of {found.model} on {found.data}",
        about=f"Evaluation: {found.ended}." if audited is None else audited.verdict,
        command=kind,
        believable=None if audited is None else audited.believable,
        data=found.data,
        net=found.model,
        seed=found.seed,
        norm=found.norm,
        eps=found.eps,
        attack=found.attack,
        clean_accuracy=found.clean_accuracy,
        robust_accuracy=found.robust_accuracy,
        left_standing=found.left_standing,
        parts=tuple(
            CommandPart(part=p.label, spec=p.spec, attacked=p.attacked, broke=p.broke, seconds=p.seconds)
            for p in found.parts
        ),
        flags=tuple(
            CommandFlag(flag=flag.name, status=finding.status, blocks=flag.blocks, found=finding.detail)
            for flag, finding in flags
        ),
        warnings=found.flags,
        spec=dict(run.spec),
        facts=Facts.model_validate(run.facts),
    )
