"""Classifiers: the papers' networks, your own, and the one training loop."""

from pixelproof.models.classifier import Card, Classifier, LogProbabilities, evaluating, frozen, wrap
from pixelproof.models.load import load, open_saved, pick_device, save, suited
from pixelproof.models.nets import NETS
from pixelproof.models.preprocessors import PREPROCESSORS, Preprocessor
from pixelproof.models.recipe import Recipe, Step
from pixelproof.models.train import History, Training, native_bf16, train

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
    "evaluating",
    "frozen",
    "load",
    "native_bf16",
    "open_saved",
    "pick_device",
    "save",
    "suited",
    "train",
    "wrap",
]
