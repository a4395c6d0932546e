"""Finding: what one test of an audit saw; RedFlag: the test, with its threshold and source, as one row of a table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import torch
from jaxtyping import Int
from torch import Tensor

if TYPE_CHECKING:
    from pixelproof.measure.redflags.subject import AuditSubject

Rows: TypeAlias = Int[Tensor, " m"]

NONE = torch.empty(0, dtype=torch.long)


@dataclass(frozen=True, eq=False)
class Finding:
    """Whether a flag is raised (None: the test could not run), the measured value, one sentence, and the images.

    `images` are positions in the original file of the images that raise the flag; empty where the flag is not about
    single images. `reason` is the short form that a verdict quotes.
    """

    raised: bool | None
    value: float | None
    detail: str
    reason: str = ""
    images: Rows = NONE

    @classmethod
    def not_run(cls, why: str) -> Finding:
        """A test that has nothing to look at."""
        return cls(None, None, f"not run: {why}")

    @property
    def status(self) -> str:
        """ "raised", "clear" or "not run"."""
        return "not run" if self.raised is None else "raised" if self.raised else "clear"


@dataclass(frozen=True)
class RedFlag:
    """One way in which robustness can be a look-alike: what is tested, from which value on it is raised, after whom.

    A flag that `blocks`, once raised, leaves the bound unbelievable: the model is "not shown robust". The others say
    what to keep in mind, or that the audit has already acted on it.
    """

    name: str
    test: str
    threshold: str
    source: str
    blocks: bool
    look: Callable[[AuditSubject], Finding]


def listed(index: Tensor, most: int = 8) -> str:
    """Positions as text: the first few, and how many more."""
    shown = ", ".join(str(position) for position in index[:most].tolist())
    return shown + (f" and {len(index) - most} more" if len(index) > most else "")


def points(share: float) -> str:
    """A share as percentage points."""
    return f"{100 * share:.1f} pp"
