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
from pixelproof.views.defences import budgets, defences, front, searched, shown, utilities
from pixelproof.views.detectors import detectors
from pixelproof.views.examples import Example, examples
from pixelproof.views.inside import by_class, drift, inside, projections
from pixelproof.views.neighbours import (
    alarm_rule,
    cases,
    depth,
    disagreement,
    focus_of,
    guarded_attacks,
    k_curves,
    layer_rocs,
    recovered,
    threshold_curves,
)
from pixelproof.views.one_pixel import PixelExample, certificate, one_pixel, pixel_examples, repairs
from pixelproof.views.open_run import OpenRun
from pixelproof.views.overview import overview
from pixelproof.views.paper import paper
from pixelproof.views.signature_detectors import signature_detectors
from pixelproof.views.signatures import (
    Explained,
    confined,
    critical,
    curves,
    explained,
    gaps,
    histograms,
    overall,
    proximity,
    sanity,
)
from pixelproof.views.training import training
from pixelproof.views.witnesses import Witness, duplicates, witnesses

__all__ = [
    "Example",
    "Explained",
    "OpenRun",
    "PixelExample",
    "Witness",
    "alarm_rule",
    "attack_names",
    "budgets",
    "by_class",
    "cases",
    "certificate",
    "classes",
    "confined",
    "confusion",
    "critical",
    "curves",
    "defences",
    "depth",
    "detectors",
    "disagreement",
    "drift",
    "duplicates",
    "examples",
    "explained",
    "family",
    "focus",
    "focus_of",
    "front",
    "gaps",
    "guarded_attacks",
    "histograms",
    "images",
    "inside",
    "k_curves",
    "layer_rocs",
    "one_pixel",
    "overall",
    "overview",
    "paper",
    "pixel_examples",
    "projections",
    "proximity",
    "recovered",
    "repairs",
    "robustness",
    "sanity",
    "searched",
    "shown",
    "signature_detectors",
    "threshold_curves",
    "training",
    "unpaired",
    "utilities",
    "witnesses",
    "worst_case",
]
