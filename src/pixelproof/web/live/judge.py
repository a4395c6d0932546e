"""Judge: what the classifier and its layers say of any image, within a stroke of the brush."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor

from pixelproof.views.explorer import OpenRun
from pixelproof.views.explorer.decisions import decisions
from pixelproof.views.explorer.example import output
from pixelproof.views.neighbour_view import NeighbourView
from pixelproof.web.contract import Ask
from pixelproof.web.live.images import unpacked

SESSIONS = 256
UNUSUAL = 0.99  # of clean images have a nearer nearest neighbour than one that is called unlike


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


def judge(opened: OpenRun, asked: Ask) -> dict[str, Any]:
    """The classifier's output, every judged layer's decision and nearest neighbours for an image."""
    started = time.perf_counter()
    image = unpacked(asked.pixels, opened.model.card.input_shape)
    found: dict[str, Any] = {"layers": [], "neighbours": [], "unlike": None, "guard": opened.lacks("neighbour_view")}
    if found["guard"] is None:
        found |= _seen(opened, image, asked.neighbours)
    else:
        found["output"] = output(opened.model.predict(image)[0])
    return {"sequence": asked.sequence, **found, "milliseconds": 1000 * (time.perf_counter() - started)}


def _seen(opened: OpenRun, image: Tensor, listed: int) -> dict[str, Any]:
    """Output, decisions and neighbours from one forward pass and one search."""
    view = opened.neighbour_view
    seen = view.look(image, torch.zeros(1, dtype=torch.long))
    record = view.verdicts(seen)
    told = decisions(record, 0, int(seen.predicted[0]), opened.clean.classes)
    return {
        "output": output(seen.logits[0]),
        "layers": [{"name": layer, "decision": decision} for layer, decision in told.items()],
        "neighbours": [
            {
                "layer": layer,
                "index": seen.neighbours[0, place, :listed].tolist(),
                "label": seen.neighbour_labels[0, place, :listed].tolist(),
                "distance": seen.distance[0, place, :listed].tolist(),
            }
            for place, layer in enumerate(seen.layers)
        ],
        "unlike": unlike(view, float(seen.distance[0, -1, 0])),
    }


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
