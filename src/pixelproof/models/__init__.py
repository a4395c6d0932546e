"""Classifiers: the papers' networks, your own, and the one training loop."""

from pixelproof.models.classifier import Card, Classifier, LogProbabilities, evaluating, frozen, wrap
from pixelproof.models.nets import NETS

__all__ = ["NETS", "Card", "Classifier", "LogProbabilities", "evaluating", "frozen", "wrap"]
