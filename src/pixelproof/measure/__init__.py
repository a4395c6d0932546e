"""Numbers, made apart from the code they judge."""

from pixelproof.measure.detection import AdaptiveRecord, DetectorRecord, Examination, RowTable, Split
from pixelproof.measure.records import AttackRecord, CleanRecord
from pixelproof.measure.signatures import (
    Confined,
    CriticalRecord,
    Histogram,
    InsideRecord,
    ProjectionRecord,
    SanityRecord,
)

__all__ = [
    "AdaptiveRecord",
    "AttackRecord",
    "CleanRecord",
    "Confined",
    "CriticalRecord",
    "DetectorRecord",
    "Examination",
    "Histogram",
    "InsideRecord",
    "ProjectionRecord",
    "RowTable",
    "SanityRecord",
    "Split",
]
