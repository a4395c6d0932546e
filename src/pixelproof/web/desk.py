"""Desk: what every route works with."""

from __future__ import annotations

from dataclasses import dataclass, field

from pixelproof.web.answers import Answers
from pixelproof.web.library import Library


@dataclass(frozen=True, eq=False)
class Desk:
    """The runs, the answers given so far, and whether images may be judged and attacked live."""

    library: Library
    live: bool = True
    answers: Answers = field(default_factory=Answers)
