"""Results: what a run can hold, each kind declared once in the catalogue, with the record it is kept as."""

from pixelproof.results.cases import CaseRecord
from pixelproof.results.catalogue import RESULTS, Result
from pixelproof.results.critical import Confined, CriticalRecord, FixedClass, Histogram, SanityRecord
from pixelproof.results.defences import AuditRecord, BudgetRecord, HardenedRecord, SearchRecord
from pixelproof.results.detectors import GuardRecord, Judgement, KnownRecord
from pixelproof.results.duplicates import DuplicateRecord
from pixelproof.results.neighbours import NeighbourRecord, VerdictRecord
from pixelproof.results.one_pixel import CertificateRecord, PixelSet, PixelSurvey, RepairRecord
from pixelproof.results.penultimate import InsideRecord, ProjectionRecord
from pixelproof.results.robustness import AttackRecord, CleanRecord
from pixelproof.results.signature_detectors import AdaptiveRecord, DetectorRecord, RowTable

__all__ = [
    "RESULTS",
    "AdaptiveRecord",
    "AttackRecord",
    "AuditRecord",
    "BudgetRecord",
    "CaseRecord",
    "CertificateRecord",
    "CleanRecord",
    "Confined",
    "CriticalRecord",
    "DetectorRecord",
    "DuplicateRecord",
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
    "ProjectionRecord",
    "RepairRecord",
    "Result",
    "RowTable",
    "SanityRecord",
    "SearchRecord",
    "VerdictRecord",
]
