"""Amounts as a command is given them: sizes of a change, such as 8/255, and times, such as 10m."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pixelproof.errors import BadInput
from pixelproof.specs import number

if TYPE_CHECKING:
    from pixelproof.attacks import Auto
    from pixelproof.types import Norm


def size(text: str, norm: Norm | None = None, *, option: str = "--eps") -> float:
    """The size of a change: "0.03" or "8/255". Raises BadInput for anything else and for one that cannot be right."""
    from pixelproof.attacks.attack import check_budget

    try:
        found = number(text)
    except (ValueError, ZeroDivisionError) as reason:
        raise BadInput(option, "expected a number such as 0.1 or 8/255", f"'{text}'") from reason
    check_budget(option, found, norm)
    return found


def sizes(text: str, norm: Norm | None = None) -> list[float]:
    """Sizes separated by commas, "2/255,8/255", each once and in order."""
    found = sorted({size(part.strip(), norm) for part in text.split(",") if part.strip()})
    if not found:
        raise BadInput("--eps", "at least one budget is needed", f"'{text}'")
    return found


def share(text: str, *, option: str = "--fail-under") -> float:
    """A share written as "40%" or "0.4"."""
    try:
        found = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError as reason:
        raise BadInput(option, "expected a share such as 40% or 0.4", f"'{text}'") from reason
    if not 0 <= found <= 1:
        raise BadInput(option, "a share must lie in 0..1, or in 0..100 with %", f"'{text}'")
    return found


def duration(text: str) -> float:
    """Seconds written as "90s", "10m", "2h" or a bare number."""
    unit = {"s": 1.0, "m": 60.0, "h": 3600.0}.get(text[-1:], 0.0)
    try:
        seconds = float(text[:-1]) * unit if unit else float(text)
    except ValueError as reason:
        raise BadInput("--budget", "expected a time such as 90s, 10m or 2h", f"'{text}'") from reason
    if not 0 < seconds < float("inf"):
        raise BadInput("--budget", "the time must be positive", f"'{text}'")
    return seconds


def budgets_up_to(attack: Auto, points: int) -> list[float]:
    """So many budgets of a curve, up to twice that of the evaluation; in linf no farther than any image is."""
    most = min(2 * attack.eps, 1.0) if attack.norm == "linf" else 2 * attack.eps
    return [most * (k + 1) / points for k in range(points)]
