"""Judge: what the classifier and its layers say of any image, within a stroke of the brush."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass

import torch
from pydantic import Field
from torch import Tensor

from pixelproof.views.answer import Answer, Missing
from pixelproof.views.explorer import OpenRun
from pixelproof.views.explorer.decisions import Decision, decisions
from pixelproof.views.explorer.example import Output, output
from pixelproof.views.neighbour_view import NeighbourView
from pixelproof.web.live.images import unpacked
from pixelproof.web.live.questions import Ask

SESSIONS = 256
UNUSUAL = 0.99  # of clean images have a nearer nearest neighbour than one that is called unlike


class LiveNeighbours(Answer):
    """The nearest training images in one layer."""

    layer: str = Field(description="Whose activations are compared.")
    index: tuple[int, ...] = Field(description="Positions in the original training file, nearest first.")
    label: tuple[int, ...] = Field(description="True class of each.")
    distance: tuple[float, ...] = Field(description="From the image, by the guard's metric.")


class LiveLayer(Answer):
    """One judged layer's decision."""

    name: str = Field(description="As in Layer.")
    decision: Decision = Field(description="What its neighbours say of the image.")


class Judged(Answer):
    """The classifier's output, every judged layer's decision, and how unlike the training data the image is."""

    sequence: int = Field(description="The question's own.")
    output: Output = Field(description="What the classifier says of the image.")
    layers: tuple[LiveLayer, ...] = Field(
        description="Every judged layer, the composed one last; empty without a guard."
    )
    neighbours: tuple[LiveNeighbours, ...] = Field(description="For the same layers, as many as were asked for.")
    guard: Missing | None = Field(description="Why layers say nothing here, when they do not.")
    unlike: str | None = Field(description="A warning when the image is farther from the training images than usual.")
    milliseconds: float = Field(description="That judging took, on the server.")


class Turns:
    """The newest question of every session: an older one that is still waiting need not be answered."""

    def __init__(self) -> None:
        self._newest: OrderedDict[str, int] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, session: str, sequence: int) -> None:
        """Note a question as asked."""
        with self._lock:
            self._newest[session] = max(sequence, self._newest.pop(session, -1))
            while len(self._newest) > SESSIONS:
                self._newest.popitem(last=False)

    def overtaken(self, session: str, sequence: int) -> bool:
        """Whether a newer question of the same session was asked meanwhile."""
        with self._lock:
            return self._newest.get(session, -1) > sequence


@dataclass(frozen=True, eq=False)
class Seen:
    """What one forward pass and one search say of an image."""

    output: Output
    layers: tuple[LiveLayer, ...]
    neighbours: tuple[LiveNeighbours, ...]
    unlike: str | None


def judge(opened: OpenRun, asked: Ask) -> Judged:
    """The classifier's output, every judged layer's decision and nearest neighbours for an image."""
    started = time.perf_counter()
    image = unpacked(asked.pixels, opened.model.card.input_shape)
    guard = opened.lacks("neighbour_view")
    if guard is None:
        seen = _seen(opened, image, asked.neighbours)
    else:
        seen = Seen(output(opened.model.predict(image)[0]), (), (), None)
    return Judged(
        sequence=asked.sequence,
        output=seen.output,
        layers=seen.layers,
        neighbours=seen.neighbours,
        guard=guard,
        unlike=seen.unlike,
        milliseconds=1000 * (time.perf_counter() - started),
    )


def _seen(opened: OpenRun, image: Tensor, listed: int) -> Seen:
    view = opened.neighbour_view
    seen = view.look(image, torch.zeros(1, dtype=torch.long))
    record = view.verdicts(seen)
    told = decisions(record, 0, int(seen.predicted[0]), opened.clean.classes)
    return Seen(
        output=output(seen.logits[0]),
        layers=tuple(LiveLayer(name=layer, decision=decision) for layer, decision in told.items()),
        neighbours=tuple(
            LiveNeighbours(
                layer=layer,
                index=tuple(seen.neighbours[0, place, :listed].tolist()),
                label=tuple(seen.neighbour_labels[0, place, :listed].tolist()),
                distance=tuple(seen.distance[0, place, :listed].tolist()),
            )
            for place, layer in enumerate(seen.layers)
        ),
        unlike=unlike(view, float(seen.distance[0, -1, 0])),
    )


def unlike(view: NeighbourView, nearest: float) -> str | None:
    """A warning for an image whose nearest training image, over all layers, is farther than usual; else None."""
    usual = view.calibration.distance[:, -1, 0]
    limit = float(torch.quantile(usual, UNUSUAL))
    if nearest <= limit:
        return None
    return (
        f"Unlike the training data: the nearest training image is at distance {nearest:.3g}, farther than for "
        f"{100 * UNUSUAL:.0f} % of {len(usual)} clean images (at most {limit:.3g})."
    )
