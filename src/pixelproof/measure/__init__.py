"""Numbers, made apart from the code they judge."""

from pixelproof.measure.audit import audit, lower_bound
from pixelproof.measure.compare import MethodComparison, compare, compare_methods, compare_predictions
from pixelproof.measure.curve import curve
from pixelproof.measure.evaluate import Live, evaluate
from pixelproof.measure.neighbours import verdicts
from pixelproof.measure.predictions import predictions
from pixelproof.measure.signature_detectors import Candidate, Examination, Split
from pixelproof.results import (
    RED_FLAGS,
    Audit,
    Bound,
    Comparison,
    ComparisonCell,
    Difference,
    Effort,
    Evaluation,
    EvaluationPart,
    Finding,
    Predictions,
    RedFlag,
    RobustnessCurve,
)

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
    "lower_bound",
    "predictions",
    "verdicts",
]
