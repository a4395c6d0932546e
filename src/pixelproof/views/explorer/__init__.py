"""What the explorer shows: pure functions from an OpenRun (a run opened for reading) to typed answers."""

from pixelproof.views.answer import Lacking
from pixelproof.views.explorer import activations, attributions, columns, maps, neighbours, pictures, thresholds
from pixelproof.views.explorer.attackability import attackability
from pixelproof.views.explorer.example import example
from pixelproof.views.explorer.gallery import gallery
from pixelproof.views.explorer.graph import graph
from pixelproof.views.neighbour_view import GUARDS
from pixelproof.views.open_run import OpenRun

__all__ = [
    "GUARDS",
    "Lacking",
    "OpenRun",
    "activations",
    "attackability",
    "attributions",
    "columns",
    "example",
    "gallery",
    "graph",
    "maps",
    "neighbours",
    "pictures",
    "thresholds",
]
