"""What a run does not hold, said so that the reader knows what to add to the study."""

from __future__ import annotations

from typing import Any

from pixelproof.errors import PixelproofError


class Lacking(PixelproofError):
    """A part that a run does not hold: an answer for the reader, not a fault."""

    def __init__(self, part: str, why: str, add: str) -> None:
        super().__init__(part, why.rstrip("."), do=add)
        self.part, self.why, self.add = part, why, add

    def answer(self) -> dict[str, Any]:
        """The same as plain values."""
        return {"available": False, "part": self.part, "why": self.why, "add": self.add}
