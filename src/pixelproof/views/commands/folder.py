"""A folder that one command left with --out: what it found, what was asked for, and where it was made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

from pydantic import Field

from pixelproof.errors import RunError
from pixelproof.results import catalogue
from pixelproof.run import Run
from pixelproof.views.answer import Answer
from pixelproof.views.commands.attacked import AttackAnswer, attacked
from pixelproof.views.commands.audited import AuditAnswer, audited
from pixelproof.views.commands.certified import CertificateAnswer, certified
from pixelproof.views.commands.compared import ComparisonAnswer, compared
from pixelproof.views.commands.defended import DefendedAnswer, defended
from pixelproof.views.commands.detected import DetectionAnswer, detected
from pixelproof.views.commands.evaluated import EvaluationAnswer, evaluated
from pixelproof.views.overview import Facts

Found: TypeAlias = (
    AttackAnswer
    | EvaluationAnswer
    | AuditAnswer
    | ComparisonAnswer
    | DetectionAnswer
    | CertificateAnswer
    | DefendedAnswer
)


class CommandAnswer(Answer):
    """What one command found out about a model on a data set."""

    name: str = Field(description="Of the folder.")
    title: str = Field(description="Command, model and data.")
    about: str = Field(description="What was found, in one sentence.")
    command: str = Field(description="The command's name.")
    data: str = Field(description="The data set.")
    net: str = Field(description="The model, or both.")
    seed: int = Field(description="Of the command.")
    n: int = Field(description="Test images that the figures are about.")
    found: Found = Field(description="What the command prints with --json.")
    spec: dict[str, object] = Field(description="What was asked for.")
    facts: Facts = Field(description="How and where it was made.")


class CommandCard(Answer):
    """One folder of a command in the list of the explorer."""

    id: str = Field(description="In addresses.")
    name: str = Field(description="Of the folder.")
    title: str = Field(description="Command, model and data.")
    about: str = Field(description="What was found, in one sentence; empty while the command is not finished.")
    command: str = Field(description="The command's name.")
    complete: bool = Field(description="False where the command was interrupted or ran out of time.")
    finished: float | None = Field(description="Unix seconds; null when not complete.")


@dataclass(frozen=True)
class Told:
    """What is common to the folders of all commands."""

    title: str
    about: str
    data: str
    net: str
    seed: int
    n: int
    found: Found


def is_command(run: Run) -> bool:
    """Whether a command, and not a study, wrote this run."""
    return "command" in run.spec


def command(run: Run) -> CommandAnswer:
    """The answer that the folder of a command holds; RunError for that of a command this version does not know."""
    told = READ[kind_of(run)](run)
    return CommandAnswer(
        name=run.folder.name,
        command=kind_of(run),
        spec=dict(run.spec),
        facts=Facts.model_validate(run.facts),
        **vars(told),
    )


def command_card(run: Run, name: str) -> CommandCard:
    """A folder of a command as the list of the explorer shows it."""
    found = command(run) if run.complete else None
    kind = kind_of(run)
    return CommandCard(
        id=name,
        name=run.folder.name,
        title=f"{kind}, not finished" if found is None else found.title,
        about="" if found is None else found.about,
        command=kind,
        complete=run.complete,
        finished=run.facts.get("finished"),
    )


def kind_of(run: Run) -> str:
    """The command that wrote a folder; RunError for one that is not known here."""
    kind = str(run.spec["command"])
    if kind not in READ:
        raise RunError(str(run.folder), f"expected a folder of {', '.join(READ)}", kind[:80])
    return kind


def _attack(run: Run) -> Told:
    found = attacked(catalogue.ATTACK.load(run))
    name = found.attack.partition(":")[0]
    about = f"Robust accuracy at most {found.robust_accuracy} under {found.attack} alone."
    return Told(f"{name} on {found.model}, {found.data}", about, found.data, found.model, found.seed, found.n, found)


def _evaluation(run: Run) -> Told:
    record = catalogue.EVALUATION.load(run)
    found = evaluated(record, catalogue.CURVE.find(run))
    title = f"Evaluation of {found.model} on {found.data}"
    about = (
        f"Robust accuracy at most {found.robust_accuracy_at_most}, {found.norm} eps {found.eps_given}: {found.ended}."
    )
    return Told(title, about, found.data, found.model, found.seed, found.n, found)


def _audit(run: Run) -> Told:
    bound = catalogue.LOWER_BOUND.find(run)
    found = audited(catalogue.AUDIT.load(run), None if bound is None else bound.proven)
    title = f"Audit of {found.model} on {found.data}"
    return Told(title, found.verdict, found.data, found.model, found.seed, found.n, found)


def _comparison(run: Run) -> Told:
    found = compared(catalogue.COMPARISON.load(run))
    title = f"{found.first} and {found.second} on {found.data}"
    both = f"{found.first} and {found.second}"
    return Told(title, f"{found.verdict}.", found.data, both, found.seed, found.n, found)


def _detection(run: Run) -> Told:
    found = detected(catalogue.DETECTION.load(run), new=False, folder=str(run.folder))
    about = f"Threshold set for {100 * found.rate:g} % false alarms."
    if found.false_alarms is not None:
        about += f" False alarms on clean test images: {found.false_alarms}."
    title = f"{found.detector.partition(':')[0]} as a guard of {found.network} on {found.data}"
    return Told(title, about, found.data, found.network, found.seed, found.test_images or 0, found)


def _certificate(run: Run) -> Told:
    found = certified(catalogue.CERTIFICATE.load(run))
    net, data = str(run.spec["network"]), str(run.spec["name"])
    about = f"Under one pixel: certified accuracy {found.certified_accuracy}; robust accuracy {found.robust_accuracy}."
    return Told(f"One-pixel certificates of {net} on {data}", about, data, net, int(run.spec["seed"]), found.n, found)


def _defended(run: Run) -> Told:
    found = defended(catalogue.DEFENDED.load(run), str(catalogue.MODEL.path(run)))
    about = f"Robust accuracy under PGD: {found.before.pgd} before, {found.after.pgd} after. Two attacks prove nothing."
    title = f"{found.network} hardened by {', '.join(each.partition(':')[0] for each in found.defences)}"
    return Told(title, about, found.data, found.network, found.seed, found.n, found)


READ: Mapping[str, Callable[[Run], Told]] = MappingProxyType(
    {
        "attack": _attack,
        "evaluate": _evaluation,
        "audit": _audit,
        "compare": _comparison,
        "detect": _detection,
        "certify": _certificate,
        "defend": _defended,
    }
)
