"""The report of a folder that a single command wrote: what was found, what speaks against it, what was asked for."""

from __future__ import annotations

from pixelproof.report.commands.attacks import attack_sections
from pixelproof.report.commands.bounds import audit_sections, evaluation_sections
from pixelproof.report.commands.guards import detection_sections
from pixelproof.report.commands.models import certificate_sections, comparison_sections, defended_sections
from pixelproof.report.page import ReportSection, Table, cells
from pixelproof.views.commands import (
    AttackAnswer,
    AuditAnswer,
    CertificateAnswer,
    CommandAnswer,
    ComparisonAnswer,
    DetectionAnswer,
    EvaluationAnswer,
)


def command_sections(answer: CommandAnswer) -> tuple[ReportSection, ...]:
    """What was found first, then what was asked for and with which versions."""
    return (*_found(answer), _about(answer))


def _found(answer: CommandAnswer) -> tuple[ReportSection, ...]:
    found = answer.found
    if isinstance(found, AttackAnswer):
        return attack_sections(found)
    if isinstance(found, EvaluationAnswer):
        return evaluation_sections(found)
    if isinstance(found, AuditAnswer):
        return audit_sections(found)
    if isinstance(found, ComparisonAnswer):
        return comparison_sections(found)
    if isinstance(found, DetectionAnswer):
        return detection_sections(found)
    if isinstance(found, CertificateAnswer):
        return certificate_sections(found)
    return defended_sections(found)


def _about(answer: CommandAnswer) -> ReportSection:
    facts = answer.facts
    versions = ", ".join(f"{name} {version}" for name, version in facts.versions.items())
    asked = {**answer.spec, "versions": versions, "revision": facts.revision, "machine": facts.machine}
    rows = tuple(cells(name, "–" if value is None else value, head=1) for name, value in asked.items())
    settings = Table("settings", "What was asked for, and where.", ("setting", "value"), (rows,))
    return ReportSection("about", "Where these numbers come from", (settings,))


__all__ = ["command_sections"]
