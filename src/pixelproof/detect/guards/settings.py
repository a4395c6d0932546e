"""Settings of detectors: what they may be, and what they were once a guard was fitted."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias, get_args, get_origin, get_type_hints

from pixelproof import specs
from pixelproof.errors import BadInput, UnknownName

MOST = 1_000_000  # images, neighbours, epochs, widths: beyond it a number is a slip, and would end in memory
Number: TypeAlias = int | float
Range: TypeAlias = tuple[Number, Number]  # two whole numbers: only whole numbers between them


def check_settings(detector: Any, ranges: Mapping[str, Range] | None = None) -> None:
    """Refuse a detector whose settings cannot be right, when it is made and not after the fit.

    `ranges`: the least and the greatest value of a setting, both allowed; for a tuple of each of its numbers. `rate`
    must lie in (0, 1). A setting of a few choices must be one of them, a tuple must not be empty. None is let through.
    Raises BadInput (UnknownName for a choice), which NaN, infinity and a number that is no whole one meet, too.
    """
    hints = get_type_hints(type(detector))
    for field in dataclasses.fields(detector):
        value, hint = getattr(detector, field.name), hints[field.name]
        choices = get_args(hint) if get_origin(hint) is Literal else ()
        if choices and value not in choices:
            raise UnknownName(detector.name, field.name, str(value), choices)
        if isinstance(value, tuple) and not value:
            raise BadInput(detector.name, f"{field.name} must not be empty", value)
    for name, (low, high) in (ranges or {}).items():
        _check_range(detector, name, low, high)
    rate = getattr(detector, "rate", None)
    if rate is not None and not 0 < rate < 1:
        raise BadInput(detector.name, "the false-alarm rate must lie in (0, 1)", rate)


def spelled(detector: Any) -> str:
    """The spec of a detector with every setting, "none" for those that are switched off; `parse` reads it back."""
    off = [field.name for field in dataclasses.fields(detector) if getattr(detector, field.name) is None]
    written = specs.write(detector)
    return ",".join([written, *(f"{name}=none" for name in off)])


def respelled(spec: str, setting: str, value: Number) -> str:
    """A spec with one of its numbers replaced, as when a guard is calibrated again at another rate."""
    return re.sub(rf"(?<=[:,]){setting}=[^,]*", f"{setting}={value:.8g}", spec)


def _check_range(detector: Any, name: str, low: Number, high: Number) -> None:
    setting = getattr(detector, name)
    whole = isinstance(low, int) and isinstance(high, int)
    for value in setting if isinstance(setting, tuple) else () if setting is None else (setting,):
        if not low <= value <= high:
            raise BadInput(detector.name, f"{name} must lie in {_bounds(low, high)}", value)
        if whole and value != int(value):
            raise BadInput(detector.name, f"{name} must be a whole number", value)


def _bounds(low: Number, high: Number) -> str:
    return f"{low:,}..{high:,}" if isinstance(low, int) else f"[{low:g}, {high:g}]"
