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
from pixelproof.views.detection import adaptive, detectors
from pixelproof.views.examples import Example, examples
from pixelproof.views.guards import guard_names, guard_table, known, natural_errors
from pixelproof.views.inside import by_class, drift, inside, projections
from pixelproof.views.neighbours import (
    Witness,
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
    witnesses,
)
from pixelproof.views.overview import history, overview
from pixelproof.views.paper import paper
from pixelproof.views.signatures import Explained, confined, critical, curves, explained, gaps, histograms, sanity

__all__ = [
    "Example",
    "Explained",
    "Witness",
    "adaptive",
    "alarm_rule",
    "attack_names",
    "by_class",
    "cases",
    "classes",
    "confined",
    "confusion",
    "critical",
    "curves",
    "depth",
    "detectors",
    "disagreement",
    "drift",
    "examples",
    "explained",
    "family",
    "focus",
    "focus_of",
    "gaps",
    "guard_names",
    "guard_table",
    "guarded_attacks",
    "histograms",
    "history",
    "images",
    "inside",
    "k_curves",
    "known",
    "layer_rocs",
    "natural_errors",
    "overview",
    "paper",
    "projections",
    "recovered",
    "robustness",
    "sanity",
    "threshold_curves",
    "unpaired",
    "witnesses",
    "worst_case",
]
