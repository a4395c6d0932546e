"""Numbers, made apart from the code they judge."""

from pixelproof.measure.answers import Answers, answers
from pixelproof.measure.audit import Audit, audit
from pixelproof.measure.compare import Cell, Comparison, MethodComparison, compare, compare_answers, compare_methods
from pixelproof.measure.curve import Curve, curve
from pixelproof.measure.evaluate import Live, evaluate
from pixelproof.measure.evaluation import Bound, Evaluation, Part
from pixelproof.measure.neighbours import verdicts
from pixelproof.measure.redflags import RED_FLAGS, Effort, Finding, RedFlag
from pixelproof.measure.signature_detectors import Candidate, Examination, Split
from pixelproof.measure.significance import Difference

__all__ = [
    "RED_FLAGS",
    "Answers",
    "Audit",
    "Bound",
    "Candidate",
    "Cell",
    "Comparison",
    "Curve",
    "Difference",
    "Effort",
    "Evaluation",
    "Examination",
    "Finding",
    "Live",
    "MethodComparison",
    "Part",
    "RedFlag",
    "Split",
    "answers",
    "audit",
    "compare",
    "compare_answers",
    "compare_methods",
    "curve",
    "evaluate",
    "verdicts",
]
