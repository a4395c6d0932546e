"""Attacks that change one pixel or a few, and the engine that evaluates what one pixel changes."""

from pixelproof.attacks.pixel.engine import Executor, FullForward, Scene, executor
from pixelproof.attacks.pixel.evolution import OnePixelDE
from pixelproof.attacks.pixel.few import FewPixel
from pixelproof.attacks.pixel.search import OnePixel, PerTarget, PixelSearch

__all__ = [
    "Executor",
    "FewPixel",
    "FullForward",
    "OnePixel",
    "OnePixelDE",
    "PerTarget",
    "PixelSearch",
    "Scene",
    "executor",
]
