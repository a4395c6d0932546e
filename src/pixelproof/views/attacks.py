"""The robustness table and curve, scores per class, and confusion matrices."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor

from pixelproof.measure import AttackRecord, CleanRecord
from pixelproof.run import Run
from pixelproof.scores import Scores
from pixelproof.scores import confusion as count
from pixelproof.types import Rate
from pixelproof.views.overview import rate


def records(run: Run) -> Iterator[AttackRecord]:
    """Every attack record of a run, in the order of the study's attacks and then by eps."""
    order = {spec: position for position, spec in enumerate(run.spec["attacks"]["specs"])}
    found = [run.load(name, AttackRecord) for name in run.names("attack/")]
    yield from sorted(found, key=lambda record: (order.get(record.label, len(order)), record.eps or 0.0))


def attack_names(run: Run) -> list[str]:
    """The attacks of a run, as the study names them."""
    return list(dict.fromkeys(record.label for record in records(run)))


def robustness(run: Run) -> list[dict[str, Any]]:
    """One row per attack and budget: what broke, with intervals, and what it cost.

    `misclassified` counts the attacked images (those classified correctly before) that the attack broke;
    `robust_accuracy` is the share of the attacked images that held, `overall_accuracy` of all images offered.
    """
    return [
        {
            "attack": record.label,
            "spec": record.spec,
            "norm": record.norm,
            "eps": record.eps,
            "seed": record.seed,
            "n": len(record),
            "misclassified": int(record.success.sum()),
            "misclassified_8bit": int(record.success_8bit.sum()),
            "robust_accuracy": rate(Rate(int((~record.success).sum()), len(record))),
            "overall_accuracy": rate(Rate(int((~record.success).sum()), record.offered)),
            "median_first_break": _median(record.first_break[record.success]),
            "median_distance": {norm: _median(values[record.success]) for norm, values in record.distance.items()},
            "forwards_per_image": float(record.forwards.double().mean()),
            "backwards_per_image": float(record.backwards.double().mean()),
            "seconds": record.seconds,
        }
        for record in records(run)
    ]


def classes(run: Run) -> list[dict[str, Any]]:
    """One row per attack, budget and class: precision, recall and F1 on the attacked images (paper 1, Table IV)."""
    names = run.load("clean", CleanRecord).classes
    rows = []
    for record in records(run):
        scores = Scores.of(count(record.labels, record.predicted, len(names)))
        for k, name in enumerate(names):
            rows.append(
                {
                    "attack": record.label,
                    "eps": record.eps,
                    "class": name,
                    "n": int((record.labels == k).sum()),
                    "precision": float(scores.precision[k]),
                    "recall": float(scores.recall[k]),
                    "f1": float(scores.f1[k]),
                }
            )
    return rows


def confusion(run: Run) -> list[dict[str, Any]]:
    """The confusion matrix (rows true, columns predicted) of the clean test images and of every attack and budget."""
    clean = run.load("clean", CleanRecord)
    width = len(clean.classes)
    matrices = [{"attack": "clean", "eps": 0.0, "counts": count(clean.labels, clean.predicted, width).tolist()}]
    for record in records(run):
        counts = count(record.labels, record.predicted, width).tolist()
        matrices.append({"attack": record.label, "eps": record.eps, "counts": counts})
    return matrices


def _median(values: Tensor) -> float | None:
    return float(values.double().median()) if len(values) else None
