"""OpenRun: a run opened for reading; what was read once stays in memory, images stay in their files."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch

from pixelproof import data, models
from pixelproof.data import Dataset
from pixelproof.data.sources import SOURCES
from pixelproof.data.storage import find
from pixelproof.detect.neighbours.layers import activations
from pixelproof.detect.neighbours.store import COMPOSED
from pixelproof.errors import BadInput, CorruptFile, DataUnavailable
from pixelproof.models import Classifier
from pixelproof.results import CleanRecord, catalogue
from pixelproof.run import Run
from pixelproof.views.answer import Lacking, Missing
from pixelproof.views.example_sets import Shown, example_sets
from pixelproof.views.neighbour_view import NeighbourView

T = TypeVar("T")


class OpenRun:
    """A run with its classifier, its data and its examples, each read when it is first asked for.

    `root` is the folder with the data sets; nothing is ever downloaded from here. Nothing is written either.
    """

    def __init__(self, run: Run, name: str, root: Path | None = None) -> None:
        self.run, self.name, self.root = run, name, root
        self._kept: dict[Callable[[OpenRun], Any], Any] = {}

    @cached_property
    def clean(self) -> CleanRecord:
        """Predictions on the clean test images; Lacking when the study has not come that far."""
        if not catalogue.CLEAN.has(self.run):
            raise Lacking("clean predictions", "This run has not come that far.", "Let the study run to its end.")
        return catalogue.CLEAN.load(self.run)

    @cached_property
    def sets(self) -> tuple[Shown, ...]:
        """Every set of examples with whole images, the clean images first."""
        return example_sets(self.run, self.clean)

    def find(self, example: str) -> tuple[Shown, int]:
        """The set and the row of an example id; BadInput for an unknown one."""
        name, _, index = example.rpartition("~")
        for found in self.sets:
            if found.id == name and index.isascii() and index.isdigit():
                rows = (found.index == int(index)).nonzero()[:, 0] if len(index) < 16 else torch.empty(0)
                if len(rows):
                    return found, int(rows[0])
        raise BadInput("explore", "expected the id of an example of this run", f"'{example[:80]}'", "See its gallery.")

    @cached_property
    def model(self) -> Classifier:
        """The run's classifier on the CPU; Lacking for a network that only its own code could build."""
        place = torch.device("cpu")
        if catalogue.MODEL.has(self.run):
            return models.open_saved(self.run.path("model"), place)
        section = self.run.spec["model"]
        if section["net"] in models.NETS and section.get("weights"):
            return models.load(section["net"], data=self._data("test"), weights=section["weights"], device="cpu")
        kind = "is an exported program" if section["net"].endswith(".pt2") else "is built by code"
        why = f"The network '{section['net']}' {kind}, which the explorer does not run."
        do = "Gallery, robustness and classes need none; for the rest study one of pixelproof's own networks."
        raise Lacking("classifier", why, do)

    @cached_property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""
        if self.sets:
            channels, height, width = self.sets[0].clean_image(0).shape
            return channels, height, width
        return self.model.card.input_shape

    @cached_property
    def layers(self) -> tuple[str, ...]:
        """The layers to look at, as registered: convolutional ones, dense ones, and those that were judged."""
        known = {*self.model.layers, *self.judged}
        order = [name for name, _ in self.model.net.named_modules() if name in known]
        return (*order, *(name for name in self.judged if name not in order and name != COMPOSED))

    @cached_property
    def widths(self) -> dict[str, int]:
        """Values per image of every layer and, where layers were judged, of the composed layer, which joins those."""
        rows, _ = activations(self.model, torch.zeros(1, *self.shape), self.layers)
        widths = {layer: found.shape[1] for layer, found in rows.items()}
        if self.judged:
            widths[COMPOSED] = sum(widths.get(layer, 0) for layer in self.judged)
        return widths

    @cached_property
    def neighbour_view(self) -> NeighbourView:
        """The neighbour guard; Lacking without [guards]."""
        return NeighbourView.of(self.run, self.model)

    @cached_property
    def judged(self) -> tuple[str, ...]:
        """The layers whose neighbours the run knows, and last the composed layer; none without [guards]."""
        return self.neighbour_view.clean.layers if self.has("neighbour_view") else ()

    def kept(self, make: Callable[[OpenRun], T]) -> T:
        """What `make` makes of this run, made once."""
        if make not in self._kept:
            self._kept[make] = make(self)
        found: T = self._kept[make]
        return found

    def keeps(self, make: Callable[[OpenRun], Any]) -> bool:
        """Whether `kept(make)` would answer at once."""
        return make in self._kept

    @cached_property
    def training(self) -> Dataset:
        """The training split, to show neighbours; Lacking when its files are not on this machine."""
        return self._data("train")

    @cached_property
    def places(self) -> dict[int, int]:
        """Row of the training split by position in the original file."""
        return {index: row for row, index in enumerate(self.training.index.tolist())}

    def place(self, index: int) -> int:
        """The row of a training image by its position in the original file; BadInput when it is not in the split."""
        if index not in self.places:
            raise BadInput("explore", "expected the position of a training image", index)
        return self.places[index]

    def _data(self, split: Literal["train", "test"]) -> Dataset:
        name = self.run.spec["data"]["name"]
        add = f"Start with --data-dir, or run 'pixelproof data fetch {name}'."
        if name in SOURCES and find(SOURCES[name], self.root) is None:
            raise Lacking(f"{split} images", f"The files of {name} are not on this machine.", add)
        try:
            return data.load(name, split, self.root)
        except (DataUnavailable, BadInput, CorruptFile) as reason:
            raise Lacking(f"{split} images", str(reason), add) from reason

    def has(self, part: str) -> bool:
        """Whether one of the attributes above can be had."""
        return self.lacks(part) is None

    def lacks(self, part: str) -> Missing | None:
        """Why one of the attributes above cannot be had, for the reader; None where it can."""
        try:
            getattr(self, part)
        except Lacking as lacking:
            return lacking.answer()
        return None
