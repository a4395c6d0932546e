"""Classifiers: the papers' networks, your own, and the one training loop."""

from pixelproof.models.classifier import Card, Classifier, LogProbabilities, evaluating, frozen, wrap
from pixelproof.models.load import load, open_saved, pick_device, save
from pixelproof.models.nets import NETS
from pixelproof.models.train import History, Training, native_bf16, train

__all__ = [
    "NETS",
    "Card",
    "Classifier",
    "History",
    "LogProbabilities",
    "Training",
    "evaluating",
    "frozen",
    "load",
    "native_bf16",
    "open_saved",
    "pick_device",
    "save",
    "train",
    "wrap",
]
