"""The detectors that a run has scores of, by state, and which of the cases in words an image with its alarm is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from pixelproof.results import GuardRecord, catalogue
from pixelproof.run import slug
from pixelproof.views.example_sets import CLEAN, Shown
from pixelproof.views.open_run import OpenRun

CASES = (
    "no detector was asked",
    "true negative: clean, no alarm",
    "false positive: clean, alarm",
    "true positive: fooled the classifier, alarm",
    "false negative: fooled the classifier, no alarm",
    "failed attack, alarm",
    "failed attack, no alarm",
)
UNKNOWN, TRUE_NEGATIVE, FALSE_POSITIVE, TRUE_POSITIVE, FALSE_NEGATIVE, FAILED_ALARM, FAILED_QUIET = range(len(CASES))
RULES = {
    "tuned": "The paper's rule: more strangers among k neighbours than a threshold tuned on one attack.",
    "calibrated": "The same count against what clean images have, at a stated false-alarm rate.",
}


@dataclass(frozen=True, eq=False)
class StateScores:
    """What a detector says of the images of one state: positions in the test file, scores, alarms, p-values."""

    index: Tensor
    score: Tensor
    alarm: Tensor
    p_value: Tensor | None
    recovered: Tensor | None


@dataclass(frozen=True, eq=False)
class ScoredDetector:
    """One detector with its scores by state ("clean", or an attack's file name)."""

    id: str
    name: str
    source: str
    layer: str | None
    rule: str
    about: str
    threshold: float
    rate: float | None
    by_state: dict[str, StateScores]


def scored_detectors(opened: OpenRun) -> tuple[ScoredDetector, ...]:
    """Every detector that the run has scores of: first the composed layer's two rules."""
    return (*_layers(opened), *_table(opened)) if opened.has("neighbour_view") else ()


def _layers(opened: OpenRun) -> Iterator[ScoredDetector]:
    states = opened.neighbour_view.states
    first = opened.neighbour_view.clean
    places = sorted(range(len(first.layers)), key=lambda place: first.layers[place] != "composed")
    for place in places:
        layer = first.layers[place]
        for rule, about in RULES.items():
            tuned = rule == "tuned"
            by_state = {
                name: StateScores(
                    opened.neighbour_view.places[name],
                    record.strangers[:, place].float() if tuned else record.score[:, place],
                    (record.alarm if tuned else record.quiet_alarm)[:, place],
                    record.p_value[:, place],
                    record.recovered[:, place],
                )
                for name, record in states.items()
            }
            limit = float(first.thresholds[place]) if tuned else float(first.limit[place])
            title = f"neighbours in {layer}" if layer != "composed" else "neighbours over all layers"
            rate = None if tuned else first.rate
            yield ScoredDetector(
                f"{slug(layer)}-{rule}", f"{title} ({rule})", "layer", layer, rule, about, limit, rate, by_state
            )


def _table(opened: OpenRun) -> Iterator[ScoredDetector]:
    """The detectors of the table; its rows about single layers are told by the layers themselves."""
    for record in catalogue.DETECTORS.all(opened.run):
        if not record.name.startswith("neighbours, "):
            yield _detector(record)


def _detector(record: GuardRecord) -> ScoredDetector:
    by_state = {
        slug(state): StateScores(each.index, each.score, each.p_value <= record.rate, each.p_value, each.recovered)
        for state, each in record.judged.items()
    }
    about = f"Threshold from {record.calibration} clean images at a false-alarm rate of {100 * record.rate:g} %."
    name = record.name
    return ScoredDetector(
        slug(name), name, "detector", None, "calibrated", about, record.threshold, record.rate, by_state
    )


def state_of(each: Shown) -> str | None:
    """The state in which detectors judged the images of a set; None when they did not."""
    if each.attack is None:
        return CLEAN
    return each.id.rpartition("~")[2] if each.source == "guards" else None


def case(*, attacked: bool, success: bool, alarm: bool) -> int:
    """The case, as a position in CASES; only an attack that fooled the classifier counts as positive."""
    if not attacked:
        return FALSE_POSITIVE if alarm else TRUE_NEGATIVE
    if success:
        return TRUE_POSITIVE if alarm else FALSE_NEGATIVE
    return FAILED_ALARM if alarm else FAILED_QUIET
