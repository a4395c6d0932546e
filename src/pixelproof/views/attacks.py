"""The robustness table and curve, facts per image, scores per class, and confusion matrices."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from pixelproof.results import AttackRecord, catalogue
from pixelproof.run import Run
from pixelproof.scores import Scores, median
from pixelproof.scores import confusion as count
from pixelproof.types import Rate
from pixelproof.views.overview import rate

CONTROLS = ("uniform-noise", "sign-noise")


def records(run: Run) -> Iterator[AttackRecord]:
    """Every attack record of a run, in the order of the study's attacks and then by eps."""
    order = {spec: position for position, spec in enumerate(run.spec["attacks"]["specs"])}
    found = list(catalogue.ATTACKED.all(run))
    yield from sorted(found, key=lambda record: (order.get(record.label, len(order)), record.eps or 0.0))


def attack_names(run: Run) -> list[str]:
    """The attacks of a run, as the study names them."""
    return list(dict.fromkeys(record.label for record in records(run)))


def family(label: str) -> str:
    """The attack's name without its settings: "pgd" for "pgd:steps=10"."""
    return label.partition(":")[0]


def robustness(run: Run) -> list[dict[str, Any]]:
    """One row per attack and budget: what broke, with intervals, and what it cost.

    `misclassified` counts the attacked images (those classified correctly before) that the attack broke;
    `robust_accuracy` is the share of the attacked images that held, `overall_accuracy` of all images offered.
    Medians are over the broken images, null when there are none (or, for `median_first_break`, when the attack never
    looked, or when the cost is shared). `shared_cost`: passes and seconds are those of one search over several budgets.
    """
    return [
        {
            "attack": record.label,
            "family": family(record.label),
            "control": family(record.label) in CONTROLS,
            "spec": record.spec,
            "norm": record.norm,
            "eps": record.eps,
            "seed": record.seed,
            "n": len(record),
            "misclassified": int(record.success.sum()),
            "misclassified_8bit": int(record.success_8bit.sum()),
            "robust_accuracy": rate(_held(record.success, len(record))),
            "overall_accuracy": rate(_held(record.success, record.offered)),
            "median_first_break": None
            if record.shared_cost
            else median(record.first_break[record.success & (record.first_break >= 0)]),
            "median_distance": {norm: median(values[record.success]) for norm, values in record.distance.items()},
            "forwards_per_image": float(record.forwards.double().mean()),
            "backwards_per_image": float(record.backwards.double().mean()),
            "seconds": record.seconds,
            "shared_cost": record.shared_cost,
        }
        for record in records(run)
    ]


def worst_case(run: Run) -> list[dict[str, Any]]:
    """One row per norm and budget: the strongest attack (controls aside), and all attacks taken together.

    `together` counts an image as held only when no attack at that budget broke it. Ties go to the attack named first.
    """
    cells: dict[tuple[str, float], list[AttackRecord]] = {}
    for record in records(run):
        if record.eps is not None and family(record.label) not in CONTROLS:
            cells.setdefault((record.norm, record.eps), []).append(record)
    rows = []
    for (norm, eps), group in sorted(cells.items()):
        strongest = max(group, key=lambda record: int(record.success.sum()))
        broken = torch.stack([record.success for record in group]).any(0)
        rows.append(
            {
                "norm": norm,
                "eps": eps,
                "n": len(strongest),
                "strongest": strongest.label,
                "robust_accuracy": rate(_held(strongest.success, len(strongest))),
                "together": rate(_held(broken, len(strongest))),
                "attacks": [record.label for record in group],
            }
        )
    return rows


def unpaired(run: Run) -> list[dict[str, Any]]:
    """The norms and budgets at which FGSM ran and PGD did not: an FGSM number alone says little."""
    ran = {(family(record.label), record.norm, record.eps) for record in records(run)}
    alone = sorted((norm, eps) for name, norm, eps in ran if name == "fgsm" and ("pgd", norm, eps) not in ran)
    return [{"norm": norm, "eps": eps} for norm, eps in alone]


def images(run: Run, *, attack: str, eps: float | None) -> list[dict[str, Any]]:
    """One row per attacked image; distances and first break are null where the attack failed or never looked."""
    names = catalogue.CLEAN.load(run).classes
    return [
        {
            "attack": record.label,
            "eps": record.eps,
            "index": int(record.index[row]),
            "label": names[int(record.labels[row])],
            "predicted": names[int(record.predicted[row])],
            "success": success,
            "success_8bit": bool(record.success_8bit[row]),
            "distance": {norm: float(values[row]) if success else None for norm, values in record.distance.items()},
            "first_break": int(record.first_break[row])
            if success and not record.shared_cost and record.first_break[row] >= 0
            else None,
            "forwards": int(record.forwards[row]),
            "backwards": int(record.backwards[row]),
        }
        for record in records(run)
        if record.label == attack and record.eps == eps
        for row, success in enumerate(record.success.tolist())
    ]


def classes(run: Run) -> list[dict[str, Any]]:
    """One row per attack, budget and class: precision, recall and F1 on the attacked images (paper 1, Table IV)."""
    names = catalogue.CLEAN.load(run).classes
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
    clean = catalogue.CLEAN.load(run)
    width = len(clean.classes)
    matrices = [{"attack": "clean", "eps": 0.0, "counts": count(clean.labels, clean.predicted, width).tolist()}]
    for record in records(run):
        counts = count(record.labels, record.predicted, width).tolist()
        matrices.append({"attack": record.label, "eps": record.eps, "counts": counts})
    return matrices


def _held(broken: Tensor, n: int) -> Rate:
    return Rate(int((~broken).sum()), n)


def focus(run: Run) -> dict[str, Any] | None:
    """The attack and budget to look at closely, chosen by rule, never by what looks good; None without attacks.

    The attack that broke most images over all its budgets (controls only when there is nothing else), at the budget
    that leaves closest to half of the images, so that successes and failures are both there. Ties: first, smallest.
    """
    rows = [row for row in robustness(run) if row["eps"] is not None]
    rows = [row for row in rows if not row["control"]] or rows
    if not rows:
        return None
    totals: dict[str, float] = {}
    for row in rows:
        totals[row["attack"]] = totals.get(row["attack"], 0) + row["misclassified"]
    attack = max(totals, key=lambda label: totals[label])
    own = [row for row in rows if row["attack"] == attack]
    best = min(own, key=lambda row: (abs(row["robust_accuracy"]["value"] - 0.5), row["eps"]))
    return {"attack": attack, "eps": best["eps"], "robust_accuracy": best["robust_accuracy"]}
