"""Numbers, made apart from the code they judge."""

from pixelproof.measure.audit import Audit, audit
from pixelproof.measure.compare import (
    Comparison,
    ComparisonCell,
    MethodComparison,
    compare,
    compare_methods,
    compare_predictions,
)
from pixelproof.measure.curve import RobustnessCurve, curve
from pixelproof.measure.evaluate import Live, evaluate
from pixelproof.measure.evaluation import Bound, Evaluation, EvaluationPart
from pixelproof.measure.neighbours import verdicts
from pixelproof.measure.predictions import Predictions, predictions
from pixelproof.measure.redflags import RED_FLAGS, Effort, Finding, RedFlag
from pixelproof.measure.signature_detectors import Candidate, Examination, Split
from pixelproof.measure.significance import Difference

__all__ = [
    "RED_FLAGS",
    "Audit",
    "Bound",
    "Candidate",
    "Comparison",
    "ComparisonCell",
    "Difference",
    "Effort",
    "Evaluation",
    "EvaluationPart",
    "Examination",
    "Finding",
    "Live",
    "MethodComparison",
    "Predictions",
    "RedFlag",
    "RobustnessCurve",
    "Split",
    "audit",
    "compare",
    "compare_methods",
    "compare_predictions",
    "curve",
    "evaluate",
    "predictions",
    "verdicts",
]
