"""Pure functions from a Run to JSON-able values, one per page; nothing here trains, attacks or prints."""

from pixelproof.views.attacks import (
    attack_names,
    classes,
    confusion,
    family,
    focus,
    images,
    robustness,
    unpaired,
    worst_case,
)
from pixelproof.views.examples import Example, examples
from pixelproof.views.overview import history, overview
from pixelproof.views.paper import paper

__all__ = [
    "Example",
    "attack_names",
    "classes",
    "confusion",
    "examples",
    "family",
    "focus",
    "history",
    "images",
    "overview",
    "paper",
    "robustness",
    "unpaired",
    "worst_case",
]
