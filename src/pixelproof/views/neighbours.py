"""Paper 3's alarm rule: how it was tuned, what it does on images it was not tuned on, and what it shows of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from pixelproof.detect import Cases, Tuned, difference, figures
from pixelproof.detect.evaluation.evaluate import second_class
from pixelproof.results.neighbours import CLEAN
from pixelproof.types import Rate
from pixelproof.views.answer import Answer
from pixelproof.views.judged_states import JudgedStates, focus_of
from pixelproof.views.neighbour_rows import (
    AccuracyOverK,
    AlarmPattern,
    AlarmRuleRow,
    CaseCounts,
    LayerDepth,
    LayerRoc,
    RecoveredRow,
    ThresholdCurve,
)
from pixelproof.views.neighbour_view import GUARDS
from pixelproof.views.open_run import OpenRun


class NeighbourFindings(Answer):
    """What the neighbours of images say: layers in the network's order, then the composed one; attacks in the study's.

    "Attacked" images are those on which an attack succeeded, "clean" ones those that are classified correctly. But for
    what says that it was tuned, all figures are of the judging half, on which nothing was tuned.
    """

    available: Literal[True] = True
    focus: str = Field(description="The attack that the rule was tuned on whose alarms are counted.")
    attacks: tuple[str, ...] = Field(description="All attacks that were judged, as the study names them.")
    alarm_rule: tuple[AlarmRuleRow, ...] = Field(description="One row per attack with enough successes, and layer.")
    thresholds: tuple[ThresholdCurve, ...] = Field(description="Of the focus attack, one per layer.")
    accuracy_over_k: tuple[AccuracyOverK, ...] = Field(description="Of the focus attack, one per layer.")
    rocs: tuple[LayerRoc, ...] = Field(description="Of the focus attack, one per layer.")
    cases: tuple[CaseCounts, ...] = Field(description="One row per attack and layer.")
    recovered: tuple[RecoveredRow, ...] = Field(description="One row per attack and layer.")
    disagreement: tuple[AlarmPattern, ...] = Field(description="By state, the most frequent pattern first.")
    depth: tuple[LayerDepth, ...] = Field(description="One row per attack that ever succeeded, and layer.")

    @property
    def focus_rule(self) -> tuple[AlarmRuleRow, ...]:
        """The rule whose alarms are counted, layer by layer."""
        return tuple(row for row in self.alarm_rule if row.focus)


def neighbours(opened: OpenRun) -> NeighbourFindings:
    """The alarm rule, its figures and what its neighbours show; Lacking without [guards]."""
    return opened.kept(_neighbours)


def _neighbours(opened: OpenRun) -> NeighbourFindings:
    focus = focus_of(opened.run)
    if focus is None:
        raise GUARDS
    found = JudgedStates(opened.run, focus)
    tuned = found.tuned[focus]
    return NeighbourFindings(
        focus=focus,
        attacks=tuple(found.attacked),
        alarm_rule=tuple(_alarm_rule(found)),
        thresholds=tuple(_thresholds(tuned)),
        accuracy_over_k=accuracy_over_k(tuned),
        rocs=tuple(_rocs(tuned)),
        cases=tuple(_cases(found)),
        recovered=tuple(_recovered(found)),
        disagreement=tuple(_disagreement(found)),
        depth=tuple(_depth(found)),
    )


def _alarm_rule(found: JudgedStates) -> Iterator[AlarmRuleRow]:
    figures = found.run.spec["paper"]
    theirs = {row["layer"]: int(row["values"][0]) for row in figures if row["measure"] == "neighbours k"}
    for attack, tuned in found.tuned.items():
        for position, layer in enumerate(tuned.tuning.layers):
            k, threshold = tuned.best[position], tuned.thresholds[position]
            place = (position, k - 1, threshold)
            yield AlarmRuleRow(
                attack=attack,
                focus=attack == found.focus,
                layer=layer,
                k=k,
                threshold=threshold,
                papers_k=tuned.papers_k[position],
                paper=theirs.get(layer),
                eer=float(tuned.tuning.eer[position, k - 1]),
                accuracy=float(tuned.validation.accuracy[place]),
                tpr=float(tuned.validation.tpr[place]),
                fpr=float(tuned.validation.fpr[place]),
                auroc=float(tuned.validation.auroc[position, k - 1]),
                best_accuracy=float(tuned.validated[position].max()),
                tuned_clean=tuned.tuning.clean,
                tuned_attacked=tuned.tuning.attacked,
                clean=tuned.validation.clean,
                attacked=tuned.validation.attacked,
            )


def _thresholds(tuned: Tuned) -> Iterator[ThresholdCurve]:
    grid = tuned.tuning
    for position, (layer, k) in enumerate(zip(grid.layers, tuned.best, strict=True)):
        yield ThresholdCurve(
            layer=layer,
            k=k,
            threshold=tuned.thresholds[position],
            eer=float(grid.eer[position, k - 1]),
            accuracy=tuple(grid.accuracy[position, k - 1, :k].tolist()),
            fpr=tuple(grid.fpr[position, k - 1, :k].tolist()),
            fnr=tuple(grid.fnr[position, k - 1, :k].tolist()),
        )


def accuracy_over_k(tuned: Tuned) -> tuple[AccuracyOverK, ...]:
    """The curves of every layer that a rule was chosen from."""
    reached = tuned.tuning.at(tuned.tuning.accuracy, tuned.tuning.thresholds)
    return tuple(
        AccuracyOverK(
            layer=layer,
            tuning=tuple(reached[position].tolist()),
            validation=tuple(tuned.validated[position].tolist()),
            eer=tuple(tuned.tuning.eer[position].tolist()),
            best=tuned.best[position],
            papers_k=tuned.papers_k[position],
        )
        for position, layer in enumerate(tuned.tuning.layers)
    )


def _rocs(tuned: Tuned) -> Iterator[LayerRoc]:
    for position, (layer, k) in enumerate(zip(tuned.tuning.layers, tuned.best, strict=True)):
        fpr, tpr = tuned.roc(layer).T.tolist()
        area = float(tuned.validation.auroc[position, k - 1])
        yield LayerRoc(layer=layer, k=k, auroc=area, fpr=tuple(fpr), tpr=tuple(tpr))


def _cases(found: JudgedStates) -> Iterator[CaseCounts]:
    clean = found.clean
    for attack, strange in found.attacked.items():
        for position, layer in enumerate(strange.verdict.layers):
            alarm = torch.cat([clean.alarm[:, position], strange.alarm[:, position]])
            counts = Cases(torch.arange(len(alarm)) >= len(clean.rows), alarm).counts
            named = {case.replace(" ", "_"): rate for case, rate in counts.items()}
            yield CaseCounts(attack=attack, layer=layer, **named)


def _recovered(found: JudgedStates) -> Iterator[RecoveredRow]:
    for attack, strange in found.attacked.items():
        labels = strange.neighbours.labels[strange.rows]
        second = second_class(strange.neighbours.logits[strange.rows]) == labels
        for position, layer in enumerate(strange.verdict.layers):
            named = strange.verdict.recovered[strange.rows, position]
            right = named == labels
            yield RecoveredRow(
                attack=attack,
                layer=layer,
                named=_rate(named >= 0),
                right_if_named=_rate(right[named >= 0]),
                right=_rate(right),
                second=_rate(second),
            )


def _disagreement(found: JudgedStates) -> Iterator[AlarmPattern]:
    for state, one in {CLEAN: found.clean, **found.attacked}.items():
        patterns = Counter(tuple(row) for row in one.alarm[:, :-1].tolist())
        for pattern, count in patterns.most_common():
            yield AlarmPattern(
                state=state,
                layers=one.verdict.layers[:-1],
                alarms=pattern,
                agree=len(set(pattern)) == 1,
                images=Rate(count, len(one.rows)),
            )


def _depth(found: JudgedStates) -> Iterator[LayerDepth]:
    seed = found.run.spec["seed"]
    for attack, strange in found.attacked.items():
        if not len(strange.rows):
            continue
        pairs = list(zip(found.clean.score.unbind(1), strange.score.unbind(1), strict=True))
        for position, layer in enumerate(strange.verdict.layers):
            yield LayerDepth(
                attack=attack,
                layer=layer,
                auroc=figures(*pairs[position], seed=seed).auroc,
                moved=float(strange.neighbours.moved[strange.rows, position].median()),
                alarms=_rate(strange.alarm[:, position]),
                above_first=difference(pairs[position], pairs[0], seed=seed),
                n=len(strange.rows),
            )


def _rate(mask: Tensor) -> Rate:
    return Rate(int(mask.sum()), len(mask))
