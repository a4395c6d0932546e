"""Why was it fooled: attributions of a classifier's logits to pixels, and what they say about an attack."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from pixelproof.explain.attribution import Attribution, Explainer
from pixelproof.explain.critical import CriticalPixels, Curve, critical_pixels, curves, jaccard, rankings
from pixelproof.explain.gradients import ExpectedGradients, InputGradient, IntegratedGradients
from pixelproof.explain.occlusion import Occlusion
from pixelproof.explain.shapley import ClassAttribution, DeepShap
from pixelproof.explain.signature import Signature, dispersion
from pixelproof.explain.validation import (
    HeldOutTest,
    NullRun,
    PixelTest,
    PooledTest,
    held_out_test,
    null_run,
    pixel_test,
    pooled_test,
    verdict,
)

_MAKERS = (DeepShap, ExpectedGradients, InputGradient, IntegratedGradients, Occlusion)
EXPLAINERS: Mapping[str, Callable[..., Explainer]] = MappingProxyType({maker.name: maker for maker in _MAKERS})

__all__ = [
    "EXPLAINERS",
    "Attribution",
    "ClassAttribution",
    "CriticalPixels",
    "Curve",
    "DeepShap",
    "ExpectedGradients",
    "Explainer",
    "HeldOutTest",
    "InputGradient",
    "IntegratedGradients",
    "NullRun",
    "Occlusion",
    "PixelTest",
    "PooledTest",
    "Signature",
    "critical_pixels",
    "curves",
    "dispersion",
    "held_out_test",
    "jaccard",
    "null_run",
    "pixel_test",
    "pooled_test",
    "rankings",
    "verdict",
]
