"""Where two plain values differ: one line each, with the path in the JSON."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

LIVE = ("/examples/", "/units/", "explorer.")  # answers for which the network runs again


@dataclass(frozen=True)
class Tolerance:
    """How far floats may differ, relative to the expected number and at least."""

    relative: float = 1e-4
    least: float = 1e-6

    def met(self, expected: float, got: float, size: float) -> bool:
        """Whether two numbers are the same; `size` is the scale of the array that they sum up."""
        return math.isclose(expected, got, rel_tol=self.relative, abs_tol=max(self.least, self.relative * size))


def tolerance(name: str) -> Tolerance:
    """What an answer may differ by: more where the network was asked again than where a file was read."""
    return Tolerance(1e-3, 1e-5) if any(mark in name for mark in LIVE) else Tolerance()


def differences(expected: Any, got: Any, path: str, within: Tolerance) -> Iterator[str]:
    """Every place at which `got` is not what was expected."""
    if isinstance(expected, dict) and isinstance(got, dict):
        size = abs(expected.get("size", 0)) if "shape" in expected and "ordered" in expected else 0.0
        for key in sorted({*expected, *got}):
            if key not in got:
                yield f"{path}.{key}: missing; expected {_short(expected[key])}"
            elif key not in expected:
                yield f"{path}.{key}: new; got {_short(got[key])}"
            elif size and _is_number(expected[key]) and _is_number(got[key]):
                if not within.met(expected[key], got[key], size):
                    yield f"{path}.{key}: expected {expected[key]}, got {got[key]}"
            else:
                yield from differences(expected[key], got[key], f"{path}.{key}", within)
    elif isinstance(expected, list) and isinstance(got, list):
        yield from _lists(expected, got, path, within)
    elif _is_number(expected) and _is_number(got) and isinstance(expected, float) | isinstance(got, float):
        if not within.met(expected, got, 0.0):
            yield f"{path}: expected {expected}, got {got}"
    elif expected != got or isinstance(expected, bool) != isinstance(got, bool):
        yield f"{path}: expected {_short(expected)}, got {_short(got)}"


def _lists(expected: list[Any], got: list[Any], path: str, within: Tolerance) -> Iterator[str]:
    if expected and all(isinstance(item, str) for item in (*expected, *got)):
        changed = difflib.unified_diff(expected, got, n=0, lineterm="")
        yield from (f"{path}: {line}" for line in changed if not line.startswith(("---", "+++", "@@")))
        return
    if len(expected) != len(got):
        yield f"{path}: expected {len(expected)} entries, got {len(got)}"
    for position, (one, other) in enumerate(zip(expected, got, strict=False)):
        yield from differences(one, other, f"{path}[{position}]", within)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 160 else f"{text[:157]}..."
