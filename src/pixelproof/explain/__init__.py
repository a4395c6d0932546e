"""Why was it fooled: attributions of a classifier's logits to pixels."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from pixelproof.explain.attribution import Attribution, Explainer
from pixelproof.explain.shapley import ClassAttribution, DeepShap

EXPLAINERS: Mapping[str, Callable[..., Explainer]] = MappingProxyType({maker.name: maker for maker in (DeepShap,)})

__all__ = ["EXPLAINERS", "Attribution", "ClassAttribution", "DeepShap", "Explainer"]
