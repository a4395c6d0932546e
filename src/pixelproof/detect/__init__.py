"""Would we notice: guards that judge images by what a model makes of them, and how well they do."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from pixelproof import specs
from pixelproof.detect.adaptive import AdaptiveResult, Aware, Target, adapt
from pixelproof.detect.confidence import LogitMargin, MaxSoftmax
from pixelproof.detect.consistency import GradientConsistency, NoiseConsistency, TransformConsistency
from pixelproof.detect.curves import Curve, Estimate, Figures, difference, figures, roc
from pixelproof.detect.density import KernelDensity
from pixelproof.detect.distance import LocalDimension, NeighbourDistance
from pixelproof.detect.duplicates import Duplicates, near_duplicates, without_duplicates
from pixelproof.detect.ensemble import MEMBERS, Ensemble, EnsembleGuard
from pixelproof.detect.evade import Evasion, evade
from pixelproof.detect.evaluate import Evaluation, evaluate, evaluate_all, natural_errors
from pixelproof.detect.guard import Calibration, Detector, Guard, Neighbours, Verdict, divide
from pixelproof.detect.index import ExactIndex, Found, Index, recall
from pixelproof.detect.keeping import load_guard, save_guard
from pixelproof.detect.mahalanobis import Mahalanobis
from pixelproof.detect.neighbours import Credibility, DeepNeighbours, NeighbourGuard
from pixelproof.detect.noise import matched_noise
from pixelproof.detect.quiet_pixel import QuietPixel, adapt_pixel
from pixelproof.detect.reconstruction import Reconstruction
from pixelproof.detect.repair import Repair, Repaired, RepairGuard, neighbour_medians
from pixelproof.detect.scored import ScoreGuard, Scorer
from pixelproof.detect.signature import SignatureDetector
from pixelproof.detect.spectral import Spectral
from pixelproof.detect.squeezing import FeatureSqueezing
from pixelproof.detect.store import Store
from pixelproof.detect.surrogate import Surrogate, surrogate
from pixelproof.detect.tune import Cases, Grid, Tuned, tune

DETECTORS: Mapping[str, Callable[..., Detector]] = MappingProxyType({**MEMBERS, Ensemble.name: Ensemble})
SUPERVISED: Mapping[str, Callable[..., Detector]] = MappingProxyType(  # these cannot be fitted without an attack
    {SignatureDetector.name: SignatureDetector}
)


def parse(spec: str) -> Detector:
    """The detector a spec string names, for example "neighbours:k=75"."""
    return specs.parse(spec, {**DETECTORS, **SUPERVISED}, "detector")


__all__ = [
    "DETECTORS",
    "AdaptiveResult",
    "Aware",
    "Calibration",
    "Cases",
    "Credibility",
    "Curve",
    "DeepNeighbours",
    "Detector",
    "Duplicates",
    "Ensemble",
    "EnsembleGuard",
    "Estimate",
    "Evaluation",
    "Evasion",
    "ExactIndex",
    "FeatureSqueezing",
    "Figures",
    "Found",
    "GradientConsistency",
    "Grid",
    "Guard",
    "Index",
    "KernelDensity",
    "LocalDimension",
    "LogitMargin",
    "Mahalanobis",
    "MaxSoftmax",
    "NeighbourDistance",
    "NeighbourGuard",
    "Neighbours",
    "NoiseConsistency",
    "QuietPixel",
    "Reconstruction",
    "Repair",
    "RepairGuard",
    "Repaired",
    "ScoreGuard",
    "Scorer",
    "SignatureDetector",
    "Spectral",
    "Store",
    "Surrogate",
    "Target",
    "TransformConsistency",
    "Tuned",
    "Verdict",
    "adapt",
    "adapt_pixel",
    "difference",
    "divide",
    "evade",
    "evaluate",
    "evaluate_all",
    "figures",
    "load_guard",
    "matched_noise",
    "natural_errors",
    "near_duplicates",
    "neighbour_medians",
    "parse",
    "recall",
    "roc",
    "save_guard",
    "surrogate",
    "tune",
    "without_duplicates",
]
