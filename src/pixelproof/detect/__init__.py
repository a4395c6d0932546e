"""Would we notice: guards that judge images by what a model makes of them, and how well they do."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from pixelproof import specs
from pixelproof.detect.confidence import LogitMargin, MaxSoftmax
from pixelproof.detect.curves import Curve, Estimate, Figures, figures, roc
from pixelproof.detect.evaluate import Evaluation, evaluate, matched_noise, natural_errors
from pixelproof.detect.guard import Calibration, Detector, Guard, Neighbours, Verdict, divide
from pixelproof.detect.scored import ScoreGuard, Scorer
from pixelproof.detect.signature import SignatureDetector

DETECTORS: Mapping[str, Callable[..., Detector]] = MappingProxyType(
    {kind.name: kind for kind in (MaxSoftmax, LogitMargin, SignatureDetector)}
)


def parse(spec: str) -> Detector:
    """The detector a spec string names, for example "neighbours:k=75"."""
    return specs.parse(spec, DETECTORS, "detector")


__all__ = [
    "DETECTORS",
    "Calibration",
    "Curve",
    "Detector",
    "Estimate",
    "Evaluation",
    "Figures",
    "Guard",
    "LogitMargin",
    "MaxSoftmax",
    "Neighbours",
    "ScoreGuard",
    "Scorer",
    "SignatureDetector",
    "Verdict",
    "divide",
    "evaluate",
    "figures",
    "matched_noise",
    "natural_errors",
    "parse",
    "roc",
]
