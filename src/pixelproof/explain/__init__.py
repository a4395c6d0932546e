"""Why was it fooled: attributions of a classifier's logits to pixels, and what they say about an attack."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from pixelproof.explain.attribution import Attribution, Explainer
from pixelproof.explain.critical import CriticalPixels, PixelCurve, critical_pixels, curves, jaccard, rankings
from pixelproof.explain.gradients import ExpectedGradients, InputGradient, IntegratedGradients
from pixelproof.explain.occlusion import Occlusion
from pixelproof.explain.penultimate import LayerDrift, Shift, drift, penultimate_layer, separability, shift
from pixelproof.explain.projection import PCA, PROJECTIONS, UMAP
from pixelproof.explain.proximity import Proximity, proximity
from pixelproof.explain.sanity import Randomisation, randomisation
from pixelproof.explain.shapley import ClassAttribution, DeepShap
from pixelproof.explain.signature import Signature, dispersion, straight_through
from pixelproof.explain.validation import (
    HeldOutTest,
    NullRun,
    PixelTest,
    PooledTest,
    held_out_test,
    null_run,
    pixel_test,
    pooled_test,
    twin_run,
    verdict,
)

_MAKERS = (DeepShap, ExpectedGradients, InputGradient, IntegratedGradients, Occlusion)
EXPLAINERS: Mapping[str, Callable[..., Explainer]] = MappingProxyType({maker.name: maker for maker in _MAKERS})

__all__ = [
    "EXPLAINERS",
    "PCA",
    "PROJECTIONS",
    "UMAP",
    "Attribution",
    "ClassAttribution",
    "CriticalPixels",
    "DeepShap",
    "ExpectedGradients",
    "Explainer",
    "HeldOutTest",
    "InputGradient",
    "IntegratedGradients",
    "LayerDrift",
    "NullRun",
    "Occlusion",
    "PixelCurve",
    "PixelTest",
    "PooledTest",
    "Proximity",
    "Randomisation",
    "Shift",
    "Signature",
    "critical_pixels",
    "curves",
    "dispersion",
    "drift",
    "held_out_test",
    "jaccard",
    "null_run",
    "penultimate_layer",
    "pixel_test",
    "pooled_test",
    "proximity",
    "randomisation",
    "rankings",
    "separability",
    "shift",
    "straight_through",
    "twin_run",
    "verdict",
]
