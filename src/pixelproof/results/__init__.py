"""Results: what a run can hold, each kind declared once in the catalogue, with the record it is kept as."""

from pixelproof.results.audit import Audit, AuditQuestion, Effort, Finding
from pixelproof.results.cases import CaseRecord
from pixelproof.results.catalogue import RESULTS, Result
from pixelproof.results.comparison import Comparison, ComparisonCell, Difference, Predictions
from pixelproof.results.critical import Confined, CriticalRecord, FixedClass, Histogram, SanityRecord
from pixelproof.results.defences import AuditRecord, BudgetRecord, HardenedRecord, SearchRecord
from pixelproof.results.detectors import GuardRecord, Judgement, KnownRecord
from pixelproof.results.duplicates import DuplicateRecord
from pixelproof.results.evaluation import Bound, Evaluation, EvaluationPart, RobustnessCurve
from pixelproof.results.neighbours import NeighbourRecord, VerdictRecord
from pixelproof.results.one_pixel import CertificateRecord, PixelSet, PixelSurvey, RepairRecord
from pixelproof.results.penultimate import InsideRecord, ProjectionRecord
from pixelproof.results.red_flags import RED_FLAGS, RedFlag
from pixelproof.results.robustness import AttackRecord, CleanRecord
from pixelproof.results.signature_detectors import AdaptiveRecord, DetectorRecord, RowTable

__all__ = [
    "RED_FLAGS",
    "RESULTS",
    "AdaptiveRecord",
    "AttackRecord",
    "Audit",
    "AuditQuestion",
    "AuditRecord",
    "Bound",
    "BudgetRecord",
    "CaseRecord",
    "CertificateRecord",
    "CleanRecord",
    "Comparison",
    "ComparisonCell",
    "Confined",
    "CriticalRecord",
    "DetectorRecord",
    "Difference",
    "DuplicateRecord",
    "Effort",
    "Evaluation",
    "EvaluationPart",
    "Finding",
    "FixedClass",
    "GuardRecord",
    "HardenedRecord",
    "Histogram",
    "InsideRecord",
    "Judgement",
    "KnownRecord",
    "NeighbourRecord",
    "PixelSet",
    "PixelSurvey",
    "Predictions",
    "ProjectionRecord",
    "RedFlag",
    "RepairRecord",
    "Result",
    "RobustnessCurve",
    "RowTable",
    "SanityRecord",
    "SearchRecord",
    "VerdictRecord",
]
