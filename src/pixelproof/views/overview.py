"""What a run is about, and how its classifier was trained."""

from __future__ import annotations

from typing import Any

import torch

from pixelproof.models import History
from pixelproof.results import catalogue
from pixelproof.run import Run
from pixelproof.scores import Scores, confusion
from pixelproof.types import Rate


def rate(value: Rate) -> dict[str, Any]:
    """A rate with its count and 95 % interval; null where nothing was counted."""
    low, high = value.interval
    return {"value": float(value) if value.n else None, "low": low, "high": high, "hits": value.hits, "n": value.n}


def overview(run: Run) -> dict[str, Any]:
    """Title, settings, classifier, clean scores and the facts of the run."""
    clean = catalogue.CLEAN.load(run)
    right = clean.labels == clean.predicted
    scores = Scores.of(confusion(clean.labels, clean.predicted, len(clean.classes)))
    offered = torch.bincount(clean.labels, minlength=len(clean.classes)).tolist()
    correct = torch.bincount(clean.labels[right], minlength=len(clean.classes)).tolist()
    return {
        "name": run.spec["name"],
        "title": run.spec["title"],
        "about": run.spec["about"],
        "seed": run.spec["seed"],
        "data": clean.data,
        "classes": list(clean.classes),
        "net": run.spec["model"]["net"],
        "parameters": clean.parameters,
        "size_bytes": clean.size_bytes,
        "seconds_per_image": clean.seconds_per_image,
        "digest": clean.digest,
        "clean_accuracy": rate(Rate(int(right.sum()), len(right))),
        "macro": scores.macro,
        "per_class": [
            {
                "class": name,
                "n": offered[k],
                "correct": correct[k],
                "precision": float(scores.precision[k]),
                "recall": float(scores.recall[k]),
                "f1": float(scores.f1[k]),
            }
            for k, name in enumerate(clean.classes)
        ],
        "spec": run.spec,
        "facts": run.facts,
    }


def history(run: Run) -> dict[str, Any] | None:
    """Per epoch: loss, accuracy, precision, recall and F1 on training and validation data; None without training."""
    if not catalogue.HISTORY.has(run):
        return None
    record = catalogue.HISTORY.load(run)
    return {
        "columns": list(History.COLUMNS),
        "training": record.training.tolist(),
        "validation": record.validation.tolist(),
        "seconds": record.seconds.tolist(),
        "kept": record.kept,
    }
