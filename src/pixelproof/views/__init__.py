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
from pixelproof.views.defences import budgets, defences, front, searched, utilities
from pixelproof.views.detection import adaptive, detectors
from pixelproof.views.examples import Example, examples
from pixelproof.views.inside import by_class, drift, inside, projections
from pixelproof.views.overview import history, overview
from pixelproof.views.paper import paper
from pixelproof.views.signatures import Explained, confined, critical, curves, explained, gaps, histograms, sanity

__all__ = [
    "Example",
    "Explained",
    "adaptive",
    "attack_names",
    "budgets",
    "by_class",
    "classes",
    "confined",
    "confusion",
    "critical",
    "curves",
    "defences",
    "detectors",
    "drift",
    "examples",
    "explained",
    "family",
    "focus",
    "front",
    "gaps",
    "histograms",
    "history",
    "images",
    "inside",
    "overview",
    "paper",
    "projections",
    "robustness",
    "sanity",
    "searched",
    "unpaired",
    "utilities",
    "worst_case",
]
