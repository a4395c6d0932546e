"""NeighbourView: the neighbour guard of a run, to be asked about any image: index, tuned rule, clean thresholds."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Int
from torch import Tensor

from pixelproof.detect import Store, Tuned
from pixelproof.detect.neighbours.index import ExactIndex
from pixelproof.detect.neighbours.metrics import Metric
from pixelproof.measure.neighbours import verdicts
from pixelproof.models import Classifier
from pixelproof.results import NeighbourRecord, VerdictRecord, catalogue
from pixelproof.results.neighbours import CALIBRATION, CLEAN, Subject
from pixelproof.run import Run
from pixelproof.types import Images, Labels
from pixelproof.views.answer import Lacking

GUARDS = Lacking("guards", "This run does not know what its layers' neighbours say.", "Add [guards] to the study.")


@dataclass(frozen=True, eq=False)
class NeighbourView:
    """What the section [guards] of a study left in its run."""

    run: Run
    model: Classifier

    @classmethod
    def of(cls, run: Run, model: Classifier) -> NeighbourView:
        """The neighbour guard of a run; Lacking when its study has no [guards] or has not come that far."""
        if not catalogue.VERDICTS.has(run, state=CLEAN):
            raise GUARDS
        return cls(run, model)

    @property
    def focus(self) -> str:
        """The attack that k and threshold of every layer were tuned on."""
        return self.clean.tuned_on

    @property
    def k(self) -> int:
        """How many neighbours of an image are looked up."""
        return int(self.run.spec["guards"]["k"])

    @property
    def metric(self) -> Metric:
        """What the index compares by."""
        found: Metric = self.run.spec["guards"]["metric"]
        return found

    @cached_property
    def tuned(self) -> Tuned:
        """k and threshold per layer, tuned on the focus attack."""
        return catalogue.TUNED.load(self.run, attack=self.focus)

    @cached_property
    def calibration(self) -> NeighbourRecord:
        """Neighbours of the clean images that set the thresholds of the calibrated rule."""
        return catalogue.NEIGHBOURS.load(self.run, state=CALIBRATION)

    @cached_property
    def clean(self) -> VerdictRecord:
        """The verdicts on the clean images."""
        return self.states[CLEAN]

    @cached_property
    def store(self) -> Store:
        """The index of the training images' activations."""
        return Store.load(self.run.folder / "guards" / "index", self.model)

    @cached_property
    def indexes(self) -> dict[str, list[ExactIndex]]:
        """The index of every layer by metric; other metrics than the guard's are added when they are asked for."""
        return {}

    def by(self, metric: Metric) -> list[ExactIndex]:
        """The layers' indexes for one metric, over the same rows."""
        if metric not in self.indexes:
            exact = [index for index in self.store.indexes if isinstance(index, ExactIndex)]
            if len(exact) < len(self.store.layers):
                raise Lacking("other metrics", "This index compares by its own metric only.", "Index exactly.")
            if metric != exact[0].metric:
                exact = [_measured(index, metric) for index in exact]
            self.indexes[metric] = exact
        return self.indexes[metric]

    @cached_property
    def rows(self) -> dict[int, int]:
        """Row of the index by position in the original training file."""
        return {origin: row for row, origin in enumerate(self.store.origin.tolist())}

    @cached_property
    def states(self) -> dict[str, VerdictRecord]:
        """The verdicts on every state by its file name: clean, and one per attack."""
        names = catalogue.VERDICTS.names(self.run)
        found = {name: catalogue.VERDICTS.parts(name) or {} for name in names}
        return {parts["state"]: self.run.load(name, VerdictRecord) for name, parts in found.items()}

    @cached_property
    def places(self) -> dict[str, Int[Tensor, " n"]]:
        """Positions in the test file of the images of every state, in the order of its verdicts."""
        return {state: self.run.tensor(catalogue.NEIGHBOURS.name(state=state), "index") for state in self.states}

    @cached_property
    def predicted(self) -> dict[str, Int[Tensor, " n"]]:
        """Classes that the classifier gives to the images of every state."""
        return {state: self.run.tensor(catalogue.NEIGHBOURS.name(state=state), "predicted") for state in self.states}

    def row(self, state: str, index: int) -> int | None:
        """The row of an image in a state, by its position in the test file; None where it was not judged."""
        rows = (self.places[state] == index).nonzero()[:, 0].tolist() if state in self.places else []
        return rows[0] if rows else None

    def look(self, images: Images, labels: Labels) -> NeighbourRecord:
        """The neighbours of any images, looked up now as the study looked up its own."""
        subject = Subject("now", images, torch.full((len(images),), -1), labels)
        return NeighbourRecord.of(self.store, self.model, subject, k=self.k)

    def verdicts(self, seen: NeighbourRecord) -> VerdictRecord:
        """What the study's rules say of looked-up images."""
        nothing = torch.zeros(len(seen), dtype=torch.bool)
        rate = self.clean.rate
        return verdicts(seen, self.calibration, self.tuned, rate=rate, validation=nothing, tuned_on=self.focus)

    @property
    def note(self) -> str:
        """What the rules rest on, in one sentence."""
        tuned = int((~self.clean.validation).sum())
        return (
            f"k and threshold of every layer were tuned on {self.focus} and {tuned} clean test images; "
            f"the calibrated limits come from {len(self.calibration)} clean validation images at a false-alarm rate of "
            f"{100 * self.clean.rate:g} %."
        )


def _measured(index: ExactIndex, metric: Metric) -> ExactIndex:
    """The same rows compared by another metric."""
    found = ExactIndex(index.rows.shape[1], metric, index.rows.device)
    found.add(index.rows, index.ids)
    return found
