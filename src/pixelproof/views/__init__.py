"""Pure functions from an OpenRun to typed answers, one per subject; nothing here trains, attacks or prints."""

from pixelproof.views.cases import CaseImage, case_images
from pixelproof.views.classes import classes, confusion
from pixelproof.views.critical import critical
from pixelproof.views.defences import defences, front
from pixelproof.views.detectors import detectors
from pixelproof.views.duplicates import duplicates
from pixelproof.views.examples import Example, examples, images
from pixelproof.views.judged_states import focus_of
from pixelproof.views.neighbours import neighbours
from pixelproof.views.one_pixel import PixelExample, one_pixel, pixel_examples
from pixelproof.views.open_run import OpenRun
from pixelproof.views.overview import overview
from pixelproof.views.paired import paired
from pixelproof.views.paper import paper
from pixelproof.views.penultimate import penultimate
from pixelproof.views.robustness import robustness
from pixelproof.views.signature_detectors import signature_detectors
from pixelproof.views.signatures import ExplainedImage, critical_of_all, explained_images, signatures
from pixelproof.views.training import training

__all__ = [
    "CaseImage",
    "Example",
    "ExplainedImage",
    "OpenRun",
    "PixelExample",
    "case_images",
    "classes",
    "confusion",
    "critical",
    "critical_of_all",
    "defences",
    "detectors",
    "duplicates",
    "examples",
    "explained_images",
    "focus_of",
    "front",
    "images",
    "neighbours",
    "one_pixel",
    "overview",
    "paired",
    "paper",
    "penultimate",
    "pixel_examples",
    "robustness",
    "signature_detectors",
    "signatures",
    "training",
]
