"""Attacks that change one pixel or a few, and the proof that no one-pixel attack exists."""

from pixelproof.attacks.pixel.certificate import OnePixelCertificate, certify_one_pixel
from pixelproof.attacks.pixel.engine import Executor, FullForward, Scene, executor
from pixelproof.attacks.pixel.evolution import OnePixelDE
from pixelproof.attacks.pixel.few import FewPixel
from pixelproof.attacks.pixel.journal import Journal
from pixelproof.attacks.pixel.search import OnePixel, PerTarget, PixelSearch

__all__ = [
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
