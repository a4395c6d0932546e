"""What each layer decides about one image, with the sentence that says why; made from the numbers alone."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from pixelproof.results import VerdictRecord
from pixelproof.views.answer import Answer


class Decision(Answer):
    """What one layer's neighbours say of one image.

    Tuned rule (the paper's): alarm when more than `threshold` of the `k` neighbours belong to another class than the
    predicted one. Calibrated rule: alarm when `score` (the same count, ties ordered by distance) is above `limit`,
    which clean images set at the false-alarm rate `rate`.
    """

    k: int = Field(description="Neighbours that are looked at.")
    strangers: int = Field(description="Of the k, those that belong to another class than the predicted one.")
    threshold: int = Field(description="Strangers that the tuned rule allows.")
    alarm: bool = Field(description="By the tuned rule.")
    score: float = Field(description="Strangers, plus up to one half that orders equal counts by distance.")
    limit: float = Field(description="The highest score without an alarm by the calibrated rule.")
    p_value: float = Field(description="Conformal: at most p in a share p of clean images.")
    calibrated_alarm: bool = Field(description="By the calibrated rule.")
    rate: float = Field(description="Share of clean images that the calibrated rule may alarm on.")
    votes: tuple[int, ...] = Field(description="Neighbours per class, among the k nearest.")
    recovered: int | None = Field(description="The class of most neighbours where it is not the predicted one.")
    sentence: str = Field(description="Why, in words, from these numbers (tuned rule).")
    sentence_calibrated: str = Field(description="The same for the calibrated rule.")


def decisions(record: VerdictRecord, row: int, predicted: int, classes: Sequence[str]) -> dict[str, Decision]:
    """The decision of every judged layer and of the composed layer, by name."""
    return {layer: _decision(record, row, place, predicted, classes) for place, layer in enumerate(record.layers)}


def _decision(record: VerdictRecord, row: int, place: int, predicted: int, classes: Sequence[str]) -> Decision:
    recovered = int(record.recovered[row, place])
    k, strangers = record.k[place], int(record.strangers[row, place])
    where = f"in {record.layers[place]}" if record.layers[place] != "composed" else "over all layers together"
    counted = (
        f"{strangers} of the {k} nearest training images {where} belong to another class than '{classes[predicted]}'"
    )
    leading = "" if recovered < 0 else f" Most of the neighbours are '{classes[recovered]}'."
    return Decision(
        k=k,
        strangers=strangers,
        threshold=record.thresholds[place],
        alarm=bool(record.alarm[row, place]),
        score=float(record.score[row, place]),
        limit=float(record.limit[place]),
        p_value=float(record.p_value[row, place]),
        calibrated_alarm=bool(record.quiet_alarm[row, place]),
        rate=record.rate,
        votes=tuple(record.votes[row, place].tolist()),
        recovered=None if recovered < 0 else recovered,
        sentence=f"{counted}; {_tuned(record, row, place)}{leading}",
        sentence_calibrated=f"{counted}; {_calibrated(record, row, place)}{leading}",
    )


def _tuned(record: VerdictRecord, row: int, place: int) -> str:
    allowed = f"the tuned rule allows {record.thresholds[place]}"
    return (
        f"{allowed}, so this layer raises an alarm."
        if record.alarm[row, place]
        else f"{allowed}, so there is no alarm."
    )


def _calibrated(record: VerdictRecord, row: int, place: int) -> str:
    p_value = float(record.p_value[row, place])
    rare = f"a count this high is met in at most {100 * p_value:.2g} % of clean images (p = {p_value:.3g})"
    limit = f"alarms are for the rarest {100 * record.rate:g} %"
    return f"{rare}, and {limit}: {'alarm' if record.quiet_alarm[row, place] else 'no alarm'}."
