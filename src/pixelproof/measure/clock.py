"""Clock: a time budget that stops any attack at its next forward pass."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from pixelproof.models import Classifier
from pixelproof.models.hooks import hooked


class TimeUp(Exception):
    """The time budget is spent; nothing is wrong."""


class Clock:
    """Seconds since it was made, on top of those of earlier sittings, and a deadline where there is a `budget`.

    `reserve` are the seconds of the budget that what follows the attacks will take: judging what they found.
    """

    def __init__(self, budget: float | None) -> None:
        self.started = time.monotonic()
        self.budget = budget
        self.earlier = self.reserve = 0.0

    @property
    def seconds(self) -> float:
        """Seconds spent, earlier sittings included."""
        return self.earlier + time.monotonic() - self.started

    @property
    def left(self) -> float | None:
        """Seconds left for attacks in this sitting, None without a budget."""
        if self.budget is None:
            return None
        return max(0.0, self.budget - self.reserve - (time.monotonic() - self.started))

    def check(self) -> None:
        """Raise TimeUp when the budget is spent."""
        if self.left == 0.0:
            raise TimeUp

    @contextmanager
    def watching(self, model: Classifier) -> Iterator[None]:
        """Inside, every forward pass of `model` checks the clock; the hook is gone afterwards, also after an error."""
        with hooked(model, lambda _module, _inputs: self.check(), before=True):
            yield
