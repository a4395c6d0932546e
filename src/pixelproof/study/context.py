"""What every stage of a study works with: the study, its run, the test images and, once trained, the classifier."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from pixelproof import data, models
from pixelproof.models import Classifier
from pixelproof.run import Run
from pixelproof.study.spec import Study


@dataclass(frozen=True)
class Event:
    """Progress of one stage: `done` of `total` units, with a word about how it goes."""

    stage: str
    done: int
    total: int
    note: str = ""


Listener: TypeAlias = Callable[[Event], None]


class Context:
    """One study being conducted."""

    model: Classifier

    def __init__(self, study: Study, run: Run, root: str | Path | None, device: str, listener: Listener) -> None:
        self.study, self.run, self.root, self.listener = study, run, root, listener
        self.device = models.pick_device(device)
        test = data.load(study.data.name, "test", root)
        self.test = test if study.data.test is None else test.sample(study.data.test, study.seed)

    def tell(self, stage: str, done: int, total: int, note: str = "") -> None:
        """Report progress."""
        self.listener(Event(stage, done, total, note))
