"""AppState: what every route works with."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from pixelproof.views.explorer import OpenRun
from pixelproof.web.answers import Answers
from pixelproof.web.library import Library
from pixelproof.web.live.jobs import Jobs
from pixelproof.web.live.judge import Turns


@dataclass(frozen=True, eq=False)
class AppState:
    """The runs, the answers given so far, and the live page's work.

    The live page works on an OpenRun of its own over the same run, so that a stroke of the brush does
    not wait for a page that is being made.
    """

    library: Library
    live: bool = True
    answers: Answers = field(default_factory=Answers)
    turns: Turns = field(default_factory=Turns)
    jobs: Jobs = field(default_factory=Jobs)
    drawing: threading.RLock = field(default_factory=threading.RLock)
    _live_runs: dict[str, tuple[OpenRun, OpenRun]] = field(default_factory=dict)

    def live_run(self, run: str) -> OpenRun:
        """The live page's own OpenRun of a run; a new one when the run was replaced."""
        opened = self.library.opened(run)
        with self.drawing:
            kept = self._live_runs.get(run)
            if kept is None or kept[0] is not opened:
                kept = (opened, OpenRun(opened.run, opened.name, opened.root))
                self._live_runs[run] = kept
            return kept[1]
