"""Attacks that change one pixel or a few, and the proof that no one-pixel attack exists."""

from collections.abc import Mapping
from types import MappingProxyType

from pixelproof.attacks.pixel.certificate import OnePixelCertificate, certify_one_pixel
from pixelproof.attacks.pixel.engine import Executor, FullForward, Scene, executor
from pixelproof.attacks.pixel.evolution import OnePixelDE
from pixelproof.attacks.pixel.few import FewPixel
from pixelproof.attacks.pixel.journal import Journal
from pixelproof.attacks.pixel.search import OnePixel, PerTarget, PixelSearch

PIXEL_ATTACKS: Mapping[str, type[OnePixel | OnePixelDE | FewPixel]] = MappingProxyType(
    {attack.name: attack for attack in (OnePixel, OnePixelDE, FewPixel)}
)

__all__ = [
    "PIXEL_ATTACKS",
    "Executor",
    "FewPixel",
    "FullForward",
    "Journal",
    "OnePixel",
    "OnePixelCertificate",
    "OnePixelDE",
    "PerTarget",
    "PixelSearch",
    "Scene",
    "certify_one_pixel",
    "executor",
]
