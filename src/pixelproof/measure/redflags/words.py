"""How a finding words what it saw."""

from __future__ import annotations

from torch import Tensor


def listed(index: Tensor, most: int = 8) -> str:
    """Positions as text: the first few, and how many more."""
    shown = ", ".join(str(position) for position in index[:most].tolist())
    return shown + (f" and {len(index) - most} more" if len(index) > most else "")


def points(share: float) -> str:
    """A share as percentage points."""
    return f"{100 * share:.1f} pp"
