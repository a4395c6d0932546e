"""Paper 3's alarm rule: how it was tuned, what it does on images it was not tuned on, and what it shows of each."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pixelproof.detect import Cases, Tuned, difference, figures
from pixelproof.detect.evaluation.evaluate import second_class
from pixelproof.results import NeighbourRecord, VerdictRecord, catalogue
from pixelproof.run import Run
from pixelproof.types import Rate
from pixelproof.views.overview import rate

CASES = ("true positive", "false negative", "true negative", "false positive")


@dataclass(frozen=True, eq=False)
class Seen:
    """The images of one state in the half that nothing was tuned on: attacked ones that fell, or correct clean ones."""

    neighbours: NeighbourRecord
    verdict: VerdictRecord
    rows: Tensor

    @property
    def score(self) -> Tensor:
        """Scores (rows, layers)."""
        return self.verdict.score[self.rows]

    @property
    def alarm(self) -> Tensor:
        """The paper's alarms (rows, layers)."""
        return self.verdict.alarm[self.rows]


def focus_of(run: Run) -> str | None:
    """The attack that the alarm rule was tuned on; None for a run without [guards]."""
    section = run.spec.get("guards")
    return section["focus"] if section and catalogue.VERDICTS.has(run, state="clean") else None


def guarded_attacks(run: Run) -> list[str]:
    """The attacks of [guards] in the study's order."""
    section = run.spec.get("guards") or {"attacks": []}
    return [spec for spec in section["attacks"] if catalogue.VERDICTS.has(run, state=spec)]


def seen(run: Run, state: str) -> Seen:
    """The judging half of a state's images."""
    verdict = catalogue.VERDICTS.load(run, state=state)
    keep = verdict.validation & (~verdict.fooled if state == "clean" else verdict.fooled)
    record = catalogue.NEIGHBOURS.load(run, state=state)
    return Seen(record, verdict, keep.nonzero()[:, 0])


def alarm_rule(run: Run) -> list[dict[str, Any]]:
    """One row per attack and layer: k and threshold tuned on one half, and what they give on the other.

    `papers_k` is the k that the validation curve would pick, as the paper did; `paper` the paper's own, where the
    study's file gives it.
    """
    if focus_of(run) is None:
        return []
    theirs = {row["layer"]: int(row["values"][0]) for row in run.spec["paper"] if row["measure"] == "neighbours k"}
    found = []
    for attack, tuned in _tuned(run):
        for position, layer in enumerate(tuned.tuning.layers):
            k, threshold = tuned.best[position], tuned.thresholds[position]
            place = (position, k - 1, threshold)
            found.append(
                {
                    "attack": attack,
                    "focus": attack == focus_of(run),
                    "layer": layer,
                    "k": k,
                    "threshold": threshold,
                    "papers_k": tuned.papers_k[position],
                    "paper": theirs.get(layer),
                    "eer": float(tuned.tuning.eer[position, k - 1]),
                    "accuracy": float(tuned.validation.accuracy[place]),
                    "tpr": float(tuned.validation.tpr[place]),
                    "fpr": float(tuned.validation.fpr[place]),
                    "auroc": float(tuned.validation.auroc[position, k - 1]),
                    "best_accuracy": float(tuned.validated[position].max()),
                    "tuned_clean": tuned.tuning.clean,
                    "tuned_attacked": tuned.tuning.attacked,
                    "clean": tuned.validation.clean,
                    "attacked": tuned.validation.attacked,
                }
            )
    return found


def threshold_curves(run: Run, attack: str) -> list[dict[str, Any]]:
    """Figs. 4 to 7: accuracy, FPR and FNR over the threshold on the tuning half, at the chosen k of every layer."""
    tuned = catalogue.TUNED.load(run, attack=attack)
    grid = tuned.tuning
    return [
        {
            "layer": layer,
            "k": k,
            "threshold": tuned.thresholds[position],
            "eer": float(grid.eer[position, k - 1]),
            "accuracy": grid.accuracy[position, k - 1, :k].tolist(),
            "fpr": grid.fpr[position, k - 1, :k].tolist(),
            "fnr": grid.fnr[position, k - 1, :k].tolist(),
        }
        for position, (layer, k) in enumerate(zip(grid.layers, tuned.best, strict=True))
    ]


def k_curves(run: Run, attack: str) -> list[dict[str, Any]]:
    """Figs. 8 to 11: accuracy over k on both halves, every k with its equal-error threshold of the tuning half."""
    tuned = catalogue.TUNED.load(run, attack=attack)
    reached = tuned.tuning.at(tuned.tuning.accuracy, tuned.tuning.thresholds)
    return [
        {
            "layer": layer,
            "k": tuned.best[position],
            "papers_k": tuned.papers_k[position],
            "tuning": reached[position].tolist(),
            "validation": tuned.validated[position].tolist(),
        }
        for position, layer in enumerate(tuned.tuning.layers)
    ]


def layer_rocs(run: Run, attack: str) -> list[dict[str, Any]]:
    """Fig. 12: FPR and TPR of every layer at its chosen k over all thresholds, on the validation half."""
    tuned = catalogue.TUNED.load(run, attack=attack)
    return [
        {
            "layer": layer,
            "k": tuned.best[position],
            "auroc": float(tuned.validation.auroc[position, tuned.best[position] - 1]),
            "points": tuned.roc(layer).T.tolist(),
        }
        for position, layer in enumerate(tuned.tuning.layers)
    ]


def cases(run: Run) -> list[dict[str, Any]]:
    """One row per attack and layer: the four cases, each among the images of its kind."""
    if focus_of(run) is None:
        return []
    clean = seen(run, "clean")
    found = []
    for attack in guarded_attacks(run):
        strange = seen(run, attack)
        for position, layer in enumerate(strange.verdict.layers):
            alarm = torch.cat([clean.alarm[:, position], strange.alarm[:, position]])
            counts = Cases(torch.arange(len(alarm)) >= len(clean.rows), alarm).counts
            found.append({"attack": attack, "layer": layer, **{case: rate(counts[case]) for case in CASES}})
    return found


def recovered(run: Run) -> list[dict[str, Any]]:
    """One row per attack and layer: how often its neighbours name another class, and how often that is the true one.

    `second`: how often the network's second class is the true one, which costs nothing.
    """
    found = []
    for attack in guarded_attacks(run):
        strange = seen(run, attack)
        labels = strange.neighbours.labels[strange.rows]
        second = second_class(strange.neighbours.logits[strange.rows]) == labels
        for position, layer in enumerate(strange.verdict.layers):
            named = strange.verdict.recovered[strange.rows, position]
            right = named == labels
            found.append(
                {
                    "attack": attack,
                    "layer": layer,
                    "named": _rate(named >= 0),
                    "right_if_named": _rate(right[named >= 0]),
                    "right": _rate(right),
                    "second": _rate(second),
                }
            )
    return found


def disagreement(run: Run) -> list[dict[str, Any]]:
    """One row per state and pattern of alarms over the single layers, most frequent first."""
    if focus_of(run) is None:
        return []
    found = []
    for state in ("clean", *guarded_attacks(run)):
        one = seen(run, state)
        patterns = Counter(tuple(row) for row in one.alarm[:, :-1].tolist())
        for pattern, count in patterns.most_common():
            found.append(
                {
                    "state": state,
                    "layers": list(one.verdict.layers[:-1]),
                    "alarms": list(pattern),
                    "agree": len(set(pattern)) == 1,
                    "images": rate(Rate(count, len(one.rows))),
                }
            )
    return found


def depth(run: Run) -> list[dict[str, Any]]:
    """Do attacked images differ most in the last layers? One row per attack and layer.

    `auroc`: of the layer's rule; `moved`: the median distance from the clean original, in units of that one's distance
    to its nearest training image; `above_first`: AUROC minus the first layer's, with its paired interval.
    """
    if focus_of(run) is None:
        return []
    clean = seen(run, "clean")
    found = []
    for attack in guarded_attacks(run):
        strange = seen(run, attack)
        if not len(strange.rows):
            continue
        pairs = list(zip(clean.score.unbind(1), strange.score.unbind(1), strict=True))
        for position, layer in enumerate(strange.verdict.layers):
            found.append(
                {
                    "attack": attack,
                    "layer": layer,
                    "auroc": dataclasses.asdict(figures(*pairs[position], seed=run.spec["seed"]).auroc),
                    "moved": float(strange.neighbours.moved[strange.rows, position].median()),
                    "alarms": _rate(strange.alarm[:, position]),
                    "above_first": dataclasses.asdict(difference(pairs[position], pairs[0], seed=run.spec["seed"])),
                    "n": len(strange.rows),
                }
            )
    return found


def _tuned(run: Run) -> Iterator[tuple[str, Tuned]]:
    for attack in guarded_attacks(run):
        if catalogue.TUNED.has(run, attack=attack):
            yield attack, catalogue.TUNED.load(run, attack=attack)


def _rate(mask: Tensor) -> dict[str, Any]:
    return rate(Rate(int(mask.sum()), len(mask)))
