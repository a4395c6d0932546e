"""What each layer decides about one image, with the sentence that says why; made from the numbers alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pixelproof.results import VerdictRecord


def decisions(record: VerdictRecord, row: int, predicted: int, classes: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The decision of every judged layer and of the composed layer, by name."""
    return {layer: _decision(record, row, place, predicted, classes) for place, layer in enumerate(record.layers)}


def _decision(record: VerdictRecord, row: int, place: int, predicted: int, classes: Sequence[str]) -> dict[str, Any]:
    recovered = int(record.recovered[row, place])
    found: dict[str, Any] = {
        "k": record.k[place],
        "strangers": int(record.strangers[row, place]),
        "threshold": record.thresholds[place],
        "alarm": bool(record.alarm[row, place]),
        "score": float(record.score[row, place]),
        "limit": float(record.limit[place]),
        "p_value": float(record.p_value[row, place]),
        "calibrated_alarm": bool(record.quiet_alarm[row, place]),
        "rate": record.rate,
        "votes": record.votes[row, place].tolist(),
        "recovered": None if recovered < 0 else recovered,
    }
    where = f"in {record.layers[place]}" if record.layers[place] != "composed" else "over all layers together"
    counted = (
        f"{found['strangers']} of the {found['k']} nearest training images {where} belong to another class than "
        f"'{classes[predicted]}'"
    )
    leading = "" if found["recovered"] is None else f" Most of the neighbours are '{classes[found['recovered']]}'."
    return {
        **found,
        "sentence": f"{counted}; {_tuned(found)}{leading}",
        "sentence_calibrated": f"{counted}; {_calibrated(found)}{leading}",
    }


def _tuned(found: dict[str, Any]) -> str:
    allowed = f"the tuned rule allows {found['threshold']}"
    return f"{allowed}, so this layer raises an alarm." if found["alarm"] else f"{allowed}, so there is no alarm."


def _calibrated(found: dict[str, Any]) -> str:
    share = 100 * found["p_value"]
    rare = f"a count this high is met in at most {share:.2g} % of clean images (p = {found['p_value']:.3g})"
    limit = f"alarms are for the rarest {100 * found['rate']:g} %"
    return f"{rare}, and {limit}: {'alarm' if found['calibrated_alarm'] else 'no alarm'}."
