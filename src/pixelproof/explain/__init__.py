"""Why was it fooled: attributions of a classifier's logits to pixels."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from pixelproof.explain.attribution import Attribution, Explainer
from pixelproof.explain.gradients import ExpectedGradients, InputGradient, IntegratedGradients
from pixelproof.explain.occlusion import Occlusion
from pixelproof.explain.shapley import ClassAttribution, DeepShap

_MAKERS = (DeepShap, ExpectedGradients, InputGradient, IntegratedGradients, Occlusion)
EXPLAINERS: Mapping[str, Callable[..., Explainer]] = MappingProxyType({maker.name: maker for maker in _MAKERS})

__all__ = [
    "EXPLAINERS",
    "Attribution",
    "ClassAttribution",
    "DeepShap",
    "ExpectedGradients",
    "Explainer",
    "InputGradient",
    "IntegratedGradients",
    "Occlusion",
]
