"""What a study keeps about neighbours: who they are, and what each layer says of an image because of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from pixelproof.detect import Store
from pixelproof.detect.neighbours.layers import activations
from pixelproof.detect.neighbours.neighbourhood import Neighbourhood, neighbourhood
from pixelproof.models import Classifier
from pixelproof.types import Images, Labels, Logits, Mask, PerImage

CLEAN, CALIBRATION = "clean", "calibration"


@dataclass(frozen=True, eq=False)
class Subject:
    """Images of one state that are looked up: their positions, true classes and, where attacked, clean originals."""

    state: str
    images: Images
    index: Int[Tensor, " n"]
    labels: Labels
    originals: Images | None = None

    def part(self, rows: slice) -> Subject:
        """Some of the images."""
        originals = None if self.originals is None else self.originals[rows]
        return Subject(self.state, self.images[rows], self.index[rows], self.labels[rows], originals)


@dataclass(frozen=True, eq=False)
class NeighbourRecord:
    """The k nearest training images of some images in every layer and, last, in the composed layer; nearest first.

    `state` is "clean", "calibration" or the spec of the attack on the images. `index` is an image's position in the
    original file (of the test set; of the training file for "calibration"), `neighbours` those of its neighbours in the
    original training file, `neighbour_labels` their classes. `labels` are the true classes of the images. `moved`: how
    far an attacked image lies from its clean original, in units of that one's distance to its nearest training image
    (0 for images that were not attacked).
    """

    state: str
    layers: tuple[str, ...]
    index: Int[Tensor, " n"]
    labels: Labels
    predicted: Labels
    logits: Logits
    neighbours: Int[Tensor, "n layers near"]
    neighbour_labels: Int[Tensor, "n layers near"]
    distance: Float[Tensor, "n layers near"]
    moved: Float[Tensor, "n layers"]

    def __len__(self) -> int:
        return len(self.index)

    @classmethod
    def of(cls, store: Store, model: Classifier, subject: Subject, *, k: int) -> NeighbourRecord:
        """The neighbours of some images."""
        seen = neighbourhood(store, (k,) * len(store.spaces), model, subject.images)
        return cls(
            state=subject.state,
            layers=store.spaces,
            index=subject.index,
            labels=subject.labels,
            predicted=seen.predicted,
            logits=seen.logits,
            neighbours=torch.stack([store.origin[ids] for ids in seen.ids], 1),
            neighbour_labels=torch.stack(seen.labels, 1),
            distance=torch.stack(seen.distance, 1),
            moved=_moved(store, model, subject),
        )

    @classmethod
    def joined(cls, parts: Sequence[NeighbourRecord]) -> NeighbourRecord:
        """Several records of one state as one."""
        tensors = [field.name for field in fields(cls) if field.name not in ("state", "layers")]
        whole = {name: torch.cat([getattr(part, name) for part in parts]) for name in tensors}
        return cls(state=parts[0].state, layers=parts[0].layers, **whole)

    def nearest(self, k: Sequence[int]) -> Neighbourhood:
        """The first k neighbours per layer, as a guard sees them."""
        return Neighbourhood(
            self.predicted,
            self.logits,
            self.neighbours.unbind(1),
            self.neighbour_labels.unbind(1),
            self.distance.unbind(1),
        ).nearest(k)

    @property
    def wrong(self) -> Mask:
        """Images that are not taken for their true class: misclassified, or attacked with success."""
        return self.predicted != self.labels

    def counts(self, rows: Mask) -> Int[Tensor, "m layers k"]:
        """How many of the first 1, 2, ... k neighbours of these images belong to another class than the predicted."""
        return (self.neighbour_labels[rows] != self.predicted[rows][:, None, None]).cumsum(2)


@dataclass(frozen=True, eq=False)
class VerdictRecord:
    """What every layer and, last, the composed layer says of the images of one state; rows as in its NeighbourRecord.

    - The paper's rule: `alarm` where `strangers`, the neighbours of another class than the predicted among the first
      `k`, are more than `thresholds`; both tuned on the attack `tuned_on`. `votes` counts the neighbours per class,
      `recovered` is the class of most of them where it is not the predicted one (-1: none).
    - The rule of a guard: `score` is the same count with ties ordered by distance, `limit` its threshold from clean
      validation images at false-alarm rate `rate`, `p_value` conformal, `quiet_alarm` where the score is above `limit`.
    - `credibility` and `confidence` are Papernot & McDaniel's, over all layers (arXiv 1803.04765).
    - `validation`: images of the half that nothing was tuned on; figures rest on these alone.
    """

    state: str
    tuned_on: str
    layers: tuple[str, ...]
    k: tuple[int, ...]
    thresholds: tuple[int, ...]
    rate: float
    validation: Mask
    fooled: Mask
    strangers: Int[Tensor, "n layers"]
    votes: Int[Tensor, "n layers classes"]
    alarm: Bool[Tensor, "n layers"]
    recovered: Int[Tensor, "n layers"]
    score: Float[Tensor, "n layers"]
    limit: Float[Tensor, " layers"]
    quiet_alarm: Bool[Tensor, "n layers"]
    p_value: Float[Tensor, "n layers"]
    credibility: PerImage
    confidence: PerImage


def _moved(store: Store, model: Classifier, subject: Subject) -> Float[Tensor, "n layers"]:
    if subject.originals is None:
        return torch.zeros(len(subject.index), len(store.spaces))
    pair = [activations(model, images, store.layers)[0] for images in (subject.images, subject.originals)]
    rows, origin = ([found[layer] for layer in store.layers] for found in pair)
    nearest = torch.cat([one.distance for one in store.search(origin, 1)], 1)
    return store.apart(rows, origin) / nearest.clamp_min(1e-12)
