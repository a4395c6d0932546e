"""What detectors say of the gallery's rows, one detector at a time, and of one example."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from pixelproof.errors import UnknownName
from pixelproof.results import GuardRecord, catalogue
from pixelproof.run import slug
from pixelproof.views.example_sets import CLEAN, Shown
from pixelproof.views.explorer.gallery import CASES, UNKNOWN, case, gallery
from pixelproof.views.open_run import OpenRun

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


def listed(opened: OpenRun) -> list[dict[str, Any]]:
    """The detectors whose columns can be asked for."""
    fields = ("id", "name", "source", "layer", "rule", "about")
    return [{field: getattr(detector, field) for field in fields} for detector in opened.kept(scored_detectors)]


def whole(opened: OpenRun) -> dict[str, Any]:
    """The gallery with the detectors whose columns can be asked for."""
    return gallery(opened) | {"detectors": listed(opened)}


def column(opened: OpenRun, name: str) -> dict[str, Any]:
    """One detector's scores and alarms on every row of the gallery; UnknownName for one that the run does not have."""
    found = next((detector for detector in opened.kept(scored_detectors) if detector.id == name), None)
    if found is None:
        raise UnknownName("explore", "detector", name[:80], [detector.id for detector in opened.kept(scored_detectors)])
    scores: list[float | None] = []
    alarms: list[bool | None] = []
    cases: list[int] = []
    for each in opened.sets:
        told = spoken(found, each)
        for place, success in zip(each.index.tolist(), each.success.tolist(), strict=True):
            score, alarm = told.get(place, (None, None))
            scores.append(score)
            alarms.append(alarm)
            attacked = each.attack is not None
            known = alarm is not None
            cases.append(case(attacked=attacked, success=success, alarm=bool(alarm)) if known else UNKNOWN)
    return {
        "id": found.id,
        "name": found.name,
        "threshold": found.threshold,
        "rate": found.rate,
        "score": scores,
        "alarm": alarms,
        "case": cases,
    }


def spoken(detector: ScoredDetector, each: Shown) -> dict[int, tuple[float, bool]]:
    """Score and alarm by position in the test file, for the images of one set of examples."""
    told = detector.by_state.get(state_of(each) or "")
    if told is None:
        return {}
    pairs = zip(told.score.tolist(), told.alarm.tolist(), strict=True)
    return dict(zip(told.index.tolist(), pairs, strict=True))


def state_of(each: Shown) -> str | None:
    """The state in which detectors judged the images of a set; None when they did not."""
    if each.attack is None:
        return CLEAN
    return each.id.rpartition("~")[2] if each.source == "guards" else None


def verdicts(opened: OpenRun, each: Shown, row: int) -> list[dict[str, Any]]:
    """What every detector says of an example and of its clean image; nulls where it was not asked."""
    index = int(each.index[row])
    found = []
    for detector in opened.kept(scored_detectors):
        if detector.source == "layer" and detector.layer != "composed":
            continue
        clean = _verdict(detector, CLEAN, index, attacked=False, success=False)
        state = state_of(each)
        attacked = None
        if each.attack is not None and state is not None:
            attacked = _verdict(detector, state, index, attacked=True, success=bool(each.success[row]))
        if clean or attacked:
            told = {"clean": clean, "adversarial": attacked}
            found.append({"id": detector.id, "name": detector.name, "about": detector.about, **told})
    return found


def _verdict(
    detector: ScoredDetector, state: str, index: int, *, attacked: bool, success: bool
) -> dict[str, Any] | None:
    told = detector.by_state.get(state)
    rows = [] if told is None else (told.index == index).nonzero()[:, 0].tolist()
    if told is None or not rows:
        return None
    row, alarm = rows[0], bool(told.alarm[rows[0]])
    recovered = -1 if told.recovered is None else int(told.recovered[row])
    return {
        "score": float(told.score[row]),
        "threshold": detector.threshold,
        "p_value": None if told.p_value is None else float(told.p_value[row]),
        "alarm": alarm,
        "recovered": None if recovered < 0 else recovered,
        "case": CASES[case(attacked=attacked, success=success, alarm=alarm)],
    }
