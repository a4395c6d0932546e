"""The verdict of every layer on the images of a state, from their neighbours and those of clean validation images."""

from __future__ import annotations

import torch

from pixelproof.detect import Calibration, Tuned
from pixelproof.detect.detectors.deep_neighbours import Scoring
from pixelproof.detect.neighbours.neighbourhood import Neighbourhood, recovered, votes_of
from pixelproof.detect.neighbours.rules import learn
from pixelproof.results.neighbours import NeighbourRecord, VerdictRecord
from pixelproof.types import Labels, Mask


def verdicts(
    record: NeighbourRecord, calibration: NeighbourRecord, tuned: Tuned, *, rate: float, validation: Mask, tuned_on: str
) -> VerdictRecord:
    """The verdict of every layer on the images of a state."""
    classes = record.logits.shape[1]
    seen, quiet = record.nearest(tuned.best), calibration.nearest(tuned.best)
    score = seen.strangers()
    limits = [Calibration(column, rate) for column in quiet.strangers().unbind(1)]
    judged = [one.judge(column) for one, column in zip(limits, score.unbind(1), strict=True)]
    strangers = torch.stack([(labels != seen.predicted[:, None]).sum(1) for labels in seen.labels], 1)
    named = [
        recovered(labels, distance, seen.predicted, classes)
        for labels, distance in zip(seen.labels, seen.distance, strict=True)
    ]
    p_values = _supported(quiet, calibration.labels, tuned.best, classes).p_values(seen)
    best = p_values.topk(2).values
    return VerdictRecord(
        state=record.state,
        tuned_on=tuned_on,
        layers=record.layers,
        k=tuned.best,
        thresholds=tuned.thresholds,
        rate=rate,
        validation=validation,
        fooled=record.wrong,
        strangers=strangers,
        votes=torch.stack([votes_of(labels, classes) for labels in seen.labels], 1),
        alarm=strangers > torch.tensor(tuned.thresholds),
        recovered=torch.stack(named, 1),
        score=score,
        limit=torch.tensor([one.threshold for one in judged]),
        quiet_alarm=torch.stack([one.alarm for one in judged], 1),
        p_value=torch.stack([one.p_value for one in judged], 1),
        credibility=best[:, 0],
        confidence=1 - best[:, 1],
    )


def _supported(quiet: Neighbourhood, labels: Labels, k: tuple[int, ...], classes: int) -> Scoring:
    """The scoring whose reference is how strange the calibration images' true classes look."""
    layers = len(k) - 1
    true = quiet.nonconformity(layers, classes)[torch.arange(len(labels)), labels]
    strangers = quiet.strangers()
    return Scoring(k, classes, layers, learn("credibility", strangers, None, None, k), true.sort().values)
