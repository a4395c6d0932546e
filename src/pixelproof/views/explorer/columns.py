"""What detectors say: one detector of every row of the gallery, and all of them of one example."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pixelproof.errors import UnknownName
from pixelproof.views.answer import Answer
from pixelproof.views.example_sets import CLEAN, Shown
from pixelproof.views.explorer.scored import CASES, UNKNOWN, ScoredDetector, case, scored_detectors, state_of
from pixelproof.views.open_run import OpenRun


class DetectorColumn(Answer):
    """One detector's word on every row of the gallery; score and alarm are null where it was not asked."""

    available: Literal[True] = True
    id: str = Field(description="As in Gallery.detectors.")
    name: str = Field(description="As the detector table and the page name it.")
    threshold: float = Field(description="An alarm is a score above it.")
    rate: float | None = Field(description="The false-alarm rate the threshold was set for; null for the tuned rule.")
    score: tuple[float | None, ...] = Field(
        description="One per row of the gallery; higher is stranger. Null where it was not asked."
    )
    alarm: tuple[bool | None, ...] = Field(description="Whether the score is above the threshold.")
    case: tuple[int, ...] = Field(description="Positions in Gallery.cases.")


class DetectorVerdict(Answer):
    """What one detector says of one image, and which of the cases that is, in words.

    `case` is one of Gallery.cases.
    """

    score: float = Field(description="Higher is stranger.")
    threshold: float = Field(description="An alarm is a score above it.")
    p_value: float | None = Field(
        description="Share of clean images at least as strange, by calibration; null where nothing was calibrated."
    )
    alarm: bool = Field(description="Whether the score is above the threshold.")
    recovered: int | None = Field(
        description="The class it puts in place of the predicted one; null where it names none."
    )
    case: str = Field(description="One of Gallery.cases.")


class DetectorVerdicts(Answer):
    """One detector on both images."""

    id: str = Field(description="As in Gallery.detectors.")
    name: str = Field(description="As the detector table and the page name it.")
    about: str = Field(description="The rule or what its threshold rests on, in one sentence.")
    clean: DetectorVerdict | None = Field(description="Of the clean image; null where it was not asked.")
    adversarial: DetectorVerdict | None = Field(
        description="Of the attacked image; null where it was not asked or nothing was attacked."
    )


def column(opened: OpenRun, name: str) -> DetectorColumn:
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
    return DetectorColumn(
        id=found.id,
        name=found.name,
        threshold=found.threshold,
        rate=found.rate,
        score=tuple(scores),
        alarm=tuple(alarms),
        case=tuple(cases),
    )


def spoken(detector: ScoredDetector, each: Shown) -> dict[int, tuple[float, bool]]:
    """Score and alarm by position in the test file, for the images of one set of examples."""
    told = detector.by_state.get(state_of(each) or "")
    if told is None:
        return {}
    pairs = zip(told.score.tolist(), told.alarm.tolist(), strict=True)
    return dict(zip(told.index.tolist(), pairs, strict=True))


def verdicts(opened: OpenRun, each: Shown, row: int) -> tuple[DetectorVerdicts, ...]:
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
            told = DetectorVerdicts(
                id=detector.id, name=detector.name, about=detector.about, clean=clean, adversarial=attacked
            )
            found.append(told)
    return tuple(found)


def _verdict(
    detector: ScoredDetector, state: str, index: int, *, attacked: bool, success: bool
) -> DetectorVerdict | None:
    told = detector.by_state.get(state)
    rows = [] if told is None else (told.index == index).nonzero()[:, 0].tolist()
    if told is None or not rows:
        return None
    row, alarm = rows[0], bool(told.alarm[rows[0]])
    recovered = -1 if told.recovered is None else int(told.recovered[row])
    return DetectorVerdict(
        score=float(told.score[row]),
        threshold=detector.threshold,
        p_value=None if told.p_value is None else float(told.p_value[row]),
        alarm=alarm,
        recovered=None if recovered < 0 else recovered,
        case=CASES[case(attacked=attacked, success=success, alarm=alarm)],
    )
