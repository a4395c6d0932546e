"""What single commands found out, as answers: the same for --json, the terminal, the report and the explorer."""

from pixelproof.views.commands.attacked import AttackAnswer, attacked
from pixelproof.views.commands.audited import AuditAnswer, audited
from pixelproof.views.commands.certified import CertificateAnswer, certified
from pixelproof.views.commands.compared import ComparisonAnswer, compared
from pixelproof.views.commands.defended import DefendedAnswer, defended
from pixelproof.views.commands.detected import DetectionAnswer, detected
from pixelproof.views.commands.evaluated import EvaluationAnswer, evaluated
from pixelproof.views.commands.folder import CommandAnswer, CommandCard, command, command_card, is_command

__all__ = [
    "AttackAnswer",
    "AuditAnswer",
    "CertificateAnswer",
    "CommandAnswer",
    "CommandCard",
    "ComparisonAnswer",
    "DefendedAnswer",
    "DetectionAnswer",
    "EvaluationAnswer",
    "attacked",
    "audited",
    "certified",
    "command",
    "command_card",
    "compared",
    "defended",
    "detected",
    "evaluated",
    "is_command",
]
