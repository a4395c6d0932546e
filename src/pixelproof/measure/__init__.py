"""Numbers, made apart from the code they judge."""

from pixelproof.measure.curve import Curve, curve
from pixelproof.measure.detection import AdaptiveRecord, Candidate, DetectorRecord, Examination, RowTable, Split
from pixelproof.measure.evaluate import Live, evaluate
from pixelproof.measure.evaluation import Bound, Evaluation, Part
from pixelproof.measure.records import AttackRecord, CleanRecord
from pixelproof.measure.signatures import (
    Confined,
    CriticalRecord,
    FixedClass,
    Histogram,
    InsideRecord,
    ProjectionRecord,
    SanityRecord,
)

__all__ = [
    "AdaptiveRecord",
    "AttackRecord",
    "Bound",
    "Candidate",
    "CleanRecord",
    "Confined",
    "CriticalRecord",
    "Curve",
    "DetectorRecord",
    "Evaluation",
    "Examination",
    "FixedClass",
    "Histogram",
    "InsideRecord",
    "Live",
    "Part",
    "ProjectionRecord",
    "RowTable",
    "SanityRecord",
    "Split",
    "curve",
    "evaluate",
]
