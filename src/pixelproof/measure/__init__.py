"""Numbers, made apart from the code they judge."""

from pixelproof.measure.audit import Audit, audit
from pixelproof.measure.curve import Curve, curve
from pixelproof.measure.detection import AdaptiveRecord, DetectorRecord, Examination, RowTable, Split
from pixelproof.measure.evaluate import Live, evaluate
from pixelproof.measure.evaluation import Bound, Evaluation, Part
from pixelproof.measure.guards import GuardRecord, Judgement, KnownRecord
from pixelproof.measure.neighbours import NeighbourRecord, VerdictRecord
from pixelproof.measure.pixels import CertificateRecord, PixelSet, PixelSurvey
from pixelproof.measure.records import AttackRecord, CleanRecord
from pixelproof.measure.redflags import RED_FLAGS, Effort, Finding, RedFlag
from pixelproof.measure.signatures import (
    Confined,
    CriticalRecord,
    Histogram,
    InsideRecord,
    ProjectionRecord,
    SanityRecord,
)

__all__ = [
    "RED_FLAGS",
    "AdaptiveRecord",
    "AttackRecord",
    "Audit",
    "Bound",
    "CertificateRecord",
    "CleanRecord",
    "Confined",
    "CriticalRecord",
    "Curve",
    "DetectorRecord",
    "Effort",
    "Evaluation",
    "Examination",
    "Finding",
    "GuardRecord",
    "Histogram",
    "InsideRecord",
    "Judgement",
    "KnownRecord",
    "Live",
    "NeighbourRecord",
    "Part",
    "PixelSet",
    "PixelSurvey",
    "ProjectionRecord",
    "RedFlag",
    "RowTable",
    "SanityRecord",
    "Split",
    "VerdictRecord",
    "audit",
    "curve",
    "evaluate",
]
