"""Classifiers: the papers' networks, your own, and the one training loop."""

from pixelproof.models.card import Card
from pixelproof.models.classes import aligned
from pixelproof.models.classifier import Classifier
from pixelproof.models.load import load, pick_device, suited
from pixelproof.models.modes import duplicate, evaluating, frozen
from pixelproof.models.nets import NETS
from pixelproof.models.preprocessors import PREPROCESSORS, Preprocessor
from pixelproof.models.recipe import Recipe, Step
from pixelproof.models.saving import check_savable, open_saved, save
from pixelproof.models.train import History, Training, native_bf16, train
from pixelproof.models.wrapping import LogProbabilities, probe, wrap

__all__ = [
    "NETS",
    "PREPROCESSORS",
    "Card",
    "Classifier",
    "History",
    "LogProbabilities",
    "Preprocessor",
    "Recipe",
    "Step",
    "Training",
    "aligned",
    "check_savable",
    "duplicate",
    "evaluating",
    "frozen",
    "load",
    "native_bf16",
    "open_saved",
    "pick_device",
    "probe",
    "save",
    "suited",
    "train",
    "wrap",
]
