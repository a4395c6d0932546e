"""What can stand before a network and be saved with it."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from pixelproof.models.preprocessors.committee import Committee
from pixelproof.models.preprocessors.features import Features
from pixelproof.models.preprocessors.jpeg import Jpeg
from pixelproof.models.preprocessors.masked import Masked
from pixelproof.models.preprocessors.preprocessor import Preprocessor
from pixelproof.models.preprocessors.smoothing import AdaptiveSmoothing, TotalVariation
from pixelproof.models.preprocessors.squeezing import BitDepth, Median

PREPROCESSORS: Mapping[str, Callable[..., Preprocessor]] = MappingProxyType(
    {
        kind.name: kind
        for kind in (Masked, Features, BitDepth, Median, Jpeg, AdaptiveSmoothing, TotalVariation, Committee)
    }
)

__all__ = [
    "PREPROCESSORS",
    "AdaptiveSmoothing",
    "BitDepth",
    "Committee",
    "Features",
    "Jpeg",
    "Masked",
    "Median",
    "Preprocessor",
    "TotalVariation",
]
