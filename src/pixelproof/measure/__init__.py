"""Numbers, made apart from the code they judge."""

from pixelproof.measure.answers import Answers, answers
from pixelproof.measure.audit import Audit, audit
from pixelproof.measure.compare import (
    Cell,
    Comparison,
    MethodComparison,
    compare,
    compare_answers,
    compare_methods,
)
from pixelproof.measure.curve import Curve, curve
from pixelproof.measure.detection import AdaptiveRecord, Candidate, DetectorRecord, Examination, RowTable, Split
from pixelproof.measure.evaluate import Live, evaluate
from pixelproof.measure.evaluation import Bound, Evaluation, Part
from pixelproof.measure.guards import GuardRecord, Judgement, KnownRecord
from pixelproof.measure.hardening import BudgetRecord, HardenedRecord, SearchRecord, VerdictOfAudit
from pixelproof.measure.neighbours import DuplicateRecord, NeighbourRecord, VerdictRecord, WitnessRecord
from pixelproof.measure.pixels import CertificateRecord, PixelSet, PixelSurvey, RepairRecord
from pixelproof.measure.records import AttackRecord, CleanRecord
from pixelproof.measure.redflags import RED_FLAGS, Effort, Finding, RedFlag
from pixelproof.measure.signatures import (
    Confined,
    CriticalRecord,
    FixedClass,
    Histogram,
    InsideRecord,
    ProjectionRecord,
    SanityRecord,
)
from pixelproof.measure.significance import Difference

__all__ = [
    "RED_FLAGS",
    "AdaptiveRecord",
    "Answers",
    "AttackRecord",
    "Audit",
    "Bound",
    "BudgetRecord",
    "Candidate",
    "Cell",
    "CertificateRecord",
    "CleanRecord",
    "Comparison",
    "Confined",
    "CriticalRecord",
    "Curve",
    "DetectorRecord",
    "Difference",
    "DuplicateRecord",
    "Effort",
    "Evaluation",
    "Examination",
    "Finding",
    "FixedClass",
    "GuardRecord",
    "HardenedRecord",
    "Histogram",
    "InsideRecord",
    "Judgement",
    "KnownRecord",
    "Live",
    "MethodComparison",
    "NeighbourRecord",
    "Part",
    "PixelSet",
    "PixelSurvey",
    "ProjectionRecord",
    "RedFlag",
    "RepairRecord",
    "RowTable",
    "SanityRecord",
    "SearchRecord",
    "Split",
    "VerdictOfAudit",
    "VerdictRecord",
    "WitnessRecord",
    "answers",
    "audit",
    "compare",
    "compare_answers",
    "compare_methods",
    "curve",
    "evaluate",
]
