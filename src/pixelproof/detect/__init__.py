"""Would we notice: guards that judge images by what a model makes of them, and how well they do."""

from collections.abc import Mapping
from types import MappingProxyType

from pixelproof import specs
from pixelproof.detect.adaptive.aware import AdaptiveResult, Aware, Target, adapt
from pixelproof.detect.adaptive.evade import RepairEvasion, evade
from pixelproof.detect.adaptive.quiet_pixel import QuietPixel, adapt_pixel
from pixelproof.detect.adaptive.surrogate import Surrogate, surrogate
from pixelproof.detect.detectors.confidence import LogitMargin, MaxSoftmax
from pixelproof.detect.detectors.consistency import GradientConsistency, NoiseConsistency, TransformConsistency
from pixelproof.detect.detectors.deep_neighbours import Credibility, DeepNeighbours, NeighbourGuard
from pixelproof.detect.detectors.density import KernelDensity
from pixelproof.detect.detectors.distance import LocalDimension, NeighbourDistance
from pixelproof.detect.detectors.ensemble import Ensemble, EnsembleGuard
from pixelproof.detect.detectors.mahalanobis import Mahalanobis
from pixelproof.detect.detectors.reconstruction import Reconstruction
from pixelproof.detect.detectors.repair import Repair, Repaired, RepairGuard, neighbour_medians
from pixelproof.detect.detectors.signature import SignatureDetector
from pixelproof.detect.detectors.spectral import Spectral
from pixelproof.detect.detectors.squeezing import FeatureSqueezing
from pixelproof.detect.evaluation.curves import Estimate, Figures, RocCurve, difference, figures, roc
from pixelproof.detect.evaluation.evaluate import GuardEvaluation, evaluate, evaluate_all, natural_errors
from pixelproof.detect.evaluation.noise import matched_noise
from pixelproof.detect.guards.guard import Calibration, Detector, Guard, Listed, Neighbours, Verdict, divide
from pixelproof.detect.guards.scored import ScoreGuard, Scorer
from pixelproof.detect.keeping import load_guard, save_guard
from pixelproof.detect.neighbours.duplicates import Duplicates, near_duplicates, without_duplicates
from pixelproof.detect.neighbours.index import ExactIndex
from pixelproof.detect.neighbours.nearest import Index, NearestRows, recall
from pixelproof.detect.neighbours.store import Store
from pixelproof.detect.neighbours.tune import Cases, Grid, Tuned, tune

DETECTORS: Mapping[str, type[Listed]] = MappingProxyType(
    {
        "neighbours": DeepNeighbours,
        "softmax": MaxSoftmax,
        "margin": LogitMargin,
        "mahalanobis": Mahalanobis,
        "distance": NeighbourDistance,
        "lid": LocalDimension,
        "density": KernelDensity,
        "squeezing": FeatureSqueezing,
        "reconstruction": Reconstruction,
        "transform": TransformConsistency,
        "noise": NoiseConsistency,
        "gradient": GradientConsistency,
        "spectral": Spectral,
        "repair": Repair,
        "ensemble": Ensemble,
    }
)
SUPERVISED: Mapping[str, type[Listed]] = MappingProxyType(  # these cannot be fitted without an attack
    {"signature": SignatureDetector}
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
    "DeepNeighbours",
    "Detector",
    "Duplicates",
    "Ensemble",
    "EnsembleGuard",
    "Estimate",
    "ExactIndex",
    "FeatureSqueezing",
    "Figures",
    "GradientConsistency",
    "Grid",
    "Guard",
    "GuardEvaluation",
    "Index",
    "KernelDensity",
    "LocalDimension",
    "LogitMargin",
    "Mahalanobis",
    "MaxSoftmax",
    "NearestRows",
    "NeighbourDistance",
    "NeighbourGuard",
    "Neighbours",
    "NoiseConsistency",
    "QuietPixel",
    "Reconstruction",
    "Repair",
    "RepairEvasion",
    "RepairGuard",
    "Repaired",
    "RocCurve",
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
