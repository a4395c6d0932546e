"""What the stages of [guards] left in a run: the judging half of every state's images, and the tuned rules."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from pixelproof.detect import Tuned
from pixelproof.results import NeighbourRecord, VerdictRecord, catalogue
from pixelproof.results.neighbours import CLEAN
from pixelproof.run import Run


@dataclass(frozen=True, eq=False)
class JudgingHalf:
    """The judging half of a state's images: attacked ones that fell, or clean ones that are classified correctly."""

    neighbours: NeighbourRecord
    verdict: VerdictRecord
    rows: Tensor

    @classmethod
    def of(cls, run: Run, state: str) -> JudgingHalf:
        """Those of "clean", or of an attack."""
        verdict = catalogue.VERDICTS.load(run, state=state)
        keep = verdict.validation & (~verdict.fooled if state == CLEAN else verdict.fooled)
        return cls(catalogue.NEIGHBOURS.load(run, state=state), verdict, keep.nonzero()[:, 0])

    @property
    def score(self) -> Tensor:
        """Scores (rows, layers)."""
        return self.verdict.score[self.rows]

    @property
    def alarm(self) -> Tensor:
        """The paper's alarms (rows, layers)."""
        return self.verdict.alarm[self.rows]


@dataclass(frozen=True, eq=False)
class JudgedStates:
    """What the stages of [guards] left in a run, each file read once."""

    run: Run
    focus: str

    @cached_property
    def tuned(self) -> dict[str, Tuned]:
        """The tuned rule by attack; an attack with too few successes has none."""
        found = {spec: catalogue.TUNED.find(self.run, attack=spec) for spec in self.run.spec["guards"]["attacks"]}
        return {spec: tuned for spec, tuned in found.items() if tuned is not None}

    @cached_property
    def clean(self) -> JudgingHalf:
        """The clean images."""
        return JudgingHalf.of(self.run, CLEAN)

    @cached_property
    def attacked(self) -> dict[str, JudgingHalf]:
        """The attacked images by attack, in the study's order."""
        specs = self.run.spec["guards"]["attacks"]
        return {spec: JudgingHalf.of(self.run, spec) for spec in specs if catalogue.VERDICTS.has(self.run, state=spec)}


def focus_of(run: Run) -> str | None:
    """The attack that the alarm rule was tuned on; None for a run without [guards]."""
    section = run.spec.get("guards")
    return section["focus"] if section and catalogue.VERDICTS.has(run, state=CLEAN) else None
