"""Numbers, made apart from the code they judge."""

from pixelproof.measure.curve import Curve, curve
from pixelproof.measure.detection import AdaptiveRecord, DetectorRecord, Examination, RowTable, Split
from pixelproof.measure.evaluate import Live, evaluate
from pixelproof.measure.evaluation import Bound, Evaluation, Part
from pixelproof.measure.guards import GuardRecord, Judgement, KnownRecord
from pixelproof.measure.neighbours import NeighbourRecord, VerdictRecord, WitnessRecord
from pixelproof.measure.pixels import PixelSet, PixelSurvey
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
    "Bound",
    "CleanRecord",
    "Confined",
    "CriticalRecord",
    "Curve",
    "DetectorRecord",
    "Evaluation",
    "Examination",
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
    "RowTable",
    "SanityRecord",
    "Split",
    "VerdictRecord",
    "WitnessRecord",
    "curve",
    "evaluate",
]
