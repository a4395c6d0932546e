"""What can stand before a network and be saved with it."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from pixelproof.models.fronts.committee import Committee
from pixelproof.models.fronts.features import Features
from pixelproof.models.fronts.front import Front
from pixelproof.models.fronts.jpeg import Jpeg
from pixelproof.models.fronts.masked import Masked
from pixelproof.models.fronts.smoothing import AdaptiveSmoothing, TotalVariation
from pixelproof.models.fronts.squeezing import BitDepth, Median

FRONTS: Mapping[str, Callable[..., Front]] = MappingProxyType(
    {
        kind.name: kind
        for kind in (Masked, Features, BitDepth, Median, Jpeg, AdaptiveSmoothing, TotalVariation, Committee)
    }
)

__all__ = [
    "FRONTS",
    "AdaptiveSmoothing",
    "BitDepth",
    "Committee",
    "Features",
    "Front",
    "Jpeg",
    "Masked",
    "Median",
    "TotalVariation",
]
