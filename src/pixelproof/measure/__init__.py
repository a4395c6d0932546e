"""Numbers, made apart from the code they judge."""

from pixelproof.measure.curve import Curve, curve
from pixelproof.measure.evaluate import Live, evaluate
from pixelproof.measure.evaluation import Bound, Evaluation, Part
from pixelproof.measure.records import AttackRecord, CleanRecord

__all__ = ["AttackRecord", "Bound", "CleanRecord", "Curve", "Evaluation", "Live", "Part", "curve", "evaluate"]
