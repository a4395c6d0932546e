"""What the explorer shows: pure functions from a Shelf (a run opened for reading) to JSON-able values."""

from pixelproof.views.explorer import pictures
from pixelproof.views.explorer.example import GUARDS, SIGNATURES, example
from pixelproof.views.explorer.gallery import gallery
from pixelproof.views.explorer.missing import Lacking
from pixelproof.views.explorer.robustness import robustness
from pixelproof.views.explorer.runs import card, page
from pixelproof.views.explorer.shelf import Shelf

__all__ = ["GUARDS", "SIGNATURES", "Lacking", "Shelf", "card", "example", "gallery", "page", "pictures", "robustness"]
