"""Desk: what every route works with."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from pixelproof.views.explorer import Shelf
from pixelproof.web.answers import Answers
from pixelproof.web.library import Library
from pixelproof.web.live.jobs import Jobs
from pixelproof.web.live.judge import Turns


@dataclass(frozen=True, eq=False)
class Desk:
    """The runs, the answers given so far, and the live page's work.

    The live page draws on an easel of its own, a second shelf over the same run, so that a stroke of the brush does
    not wait for a page that is being made.
    """

    library: Library
    live: bool = True
    answers: Answers = field(default_factory=Answers)
    turns: Turns = field(default_factory=Turns)
    jobs: Jobs = field(default_factory=Jobs)
    drawing: threading.RLock = field(default_factory=threading.RLock)
    _easels: dict[str, tuple[Shelf, Shelf]] = field(default_factory=dict)

    def easel(self, run: str) -> Shelf:
        """The live page's own shelf of a run; a new one when the run was replaced."""
        shelf = self.library.shelf(run)
        with self.drawing:
            kept = self._easels.get(run)
            if kept is None or kept[0] is not shelf:
                kept = (shelf, Shelf(shelf.run, shelf.name, shelf.root))
                self._easels[run] = kept
            return kept[1]
