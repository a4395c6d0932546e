"""What an attacker who knows a guard follows: its score as a function with a useful gradient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from pixelproof.detect.detectors.deep_neighbours import DeepNeighbours, NeighbourGuard
from pixelproof.detect.detectors.ensemble import Ensemble, EnsembleGuard, joined
from pixelproof.detect.detectors.repair import Repair, RepairGuard, neighbour_medians, outlying
from pixelproof.detect.guards.guard import Guard
from pixelproof.detect.guards.scored import ScoreGuard
from pixelproof.detect.neighbours.index import ExactIndex
from pixelproof.detect.neighbours.layers import features
from pixelproof.detect.neighbours.metrics import join
from pixelproof.detect.neighbours.store import Store
from pixelproof.errors import BadInput
from pixelproof.models import Classifier
from pixelproof.types import Images, PerImage

MENDED = 12  # repairs that an attack follows at each step
GUIDES = 4  # times k nearest rows take part in the soft vote: those just beyond k pull, too


@runtime_checkable
class Surrogate(Protocol):
    """A differentiable score per image, at least roughly in the order of the guard's own."""

    @property
    def detector(self) -> str:
        """The name of the detector it stands for."""
        ...

    def __call__(self, model: Classifier, images: Images) -> PerImage:
        """Scores in the graph of `images`."""
        ...


def surrogate(guard: Guard) -> Surrogate:
    """The surrogate of a guard: its own scorer, soft votes for neighbours, the members' joined for an ensemble.

    Raises BadInput for a guard of another kind: write a Surrogate for it and pass that to the attack.
    """
    if isinstance(guard, ScoreGuard):
        return Folded(guard)
    if isinstance(guard, NeighbourGuard):
        return SoftNeighbours(guard)
    if isinstance(guard, RepairGuard):
        return SoftRepair(guard)
    if isinstance(guard, EnsembleGuard):
        return EnsembleSurrogate(guard, tuple(surrogate(member) for member in guard.members))
    raise BadInput("surrogate", "expected a guard of pixelproof.detect", type(guard).__name__, "Write its surrogate.")


@dataclass(frozen=True, eq=False)
class Folded:
    """A scorer with the two-sided fold of its calibration."""

    guard: ScoreGuard

    @property
    def detector(self) -> str:
        """The name of the detector."""
        return self.guard.detector

    def __call__(self, model: Classifier, images: Images) -> PerImage:
        """The score that the verdict will show."""
        return self.guard.calibration.fold(self.guard.scorer(model, images))


@dataclass(frozen=True, eq=False)
class SoftNeighbours:
    """Soft counts of strangers among the nearest training images, one per layer, joined by the guard's own rule.

    After Sitawarin & Wagner 2019 (arXiv 1903.08333): instead of a hard k-th neighbour every near row votes with a
    sigmoid of how much nearer than the k-th it is. Rows vote against the predicted class when they carry another one.
    "credibility" has no smooth form; the mean of all layers stands for it.
    """

    guard: NeighbourGuard

    @property
    def detector(self) -> str:
        """The name of the detector."""
        return DeepNeighbours.name

    def __call__(self, model: Classifier, images: Images) -> PerImage:
        """Soft counts on the scale of the rule's score."""
        store, scoring = self.guard.store, self.guard.scoring
        found, logits = features(model, images, store.layers)
        rows = [found[layer] for layer in store.layers]
        predicted = logits.argmax(1)
        columns = [
            self._strangers(store, rows, position, predicted, scoring.k[position])
            for position in range(len(store.spaces))
        ]
        counts = torch.stack(columns, 1)
        if scoring.rule.name == "credibility":
            return counts[:, :-1].mean(1)
        return scoring.rule.score(counts)

    def _strangers(self, store: Store, rows: list[Tensor], position: int, predicted: Tensor, k: int) -> PerImage:
        wanted = min(GUIDES * k, len(store))
        asked = [table.detach() for table in rows]
        places = store.search(asked, wanted)[position].ids
        distance = between(store, rows, places, position)
        edge = (distance[:, k - 1] + distance[:, min(k, wanted - 1)]).detach()[:, None] / 2
        width = (distance[:, -1:] - distance[:, :1]).detach().clamp_min(1e-6) / 8
        weight = torch.sigmoid((edge - distance) / width)
        other = (store.labels[places].to(predicted.device) != predicted[:, None]).to(weight)
        return k * (weight * other).sum(1) / weight.sum(1)


def between(store: Store, rows: list[Tensor], places: Tensor, position: int) -> Tensor:
    """Distances of images to stored rows in one layer or the composed one, in the graph of `rows`."""
    exact = [index for index in store.indexes if isinstance(index, ExactIndex)]
    if len(exact) < len(store.layers):
        raise BadInput("surrogate", "soft neighbours need the exact engine", "faiss", "Fit with engine='exact'.")
    if len(exact[0]) < len(store.origin):
        raise BadInput("surrogate", "soft neighbours need a store without removed rows", "removed rows", "Fit again.")
    at = places.to(rows[0].device)
    spaces = [position] if position < len(exact) else list(range(len(exact)))
    each = []
    for space in spaces:
        table = rows[space]
        asked = torch.nn.functional.normalize(table, dim=1) if exact[space].metric == "cosine" else table
        each.append(exact[space].between(asked, at))
    return each[0] if position < len(exact) else join(each, store.weights, exact[0].metric)


@dataclass(frozen=True, eq=False)
class SoftRepair:
    """The score of repairs of the `MENDED` most outlying pixels, each a full pass, so that it can be followed.

    Which pixels, and the medians that replace them, are taken from the image as it is; the rest is in the graph.
    """

    guard: RepairGuard

    @property
    def detector(self) -> str:
        """The name of the detector."""
        return Repair.name

    def __call__(self, model: Classifier, images: Images) -> PerImage:
        """Minus the smallest margin of the predicted class under these repairs."""
        mended, masks = [], []
        for image in images.detach():
            medians = neighbour_medians(image)
            places = outlying(image, medians, min(MENDED, self.guard.most or MENDED))
            mask = torch.zeros(len(places), len(medians), device=image.device)
            mask[torch.arange(len(places)), places] = 1
            masks.append(mask.view(-1, 1, *image.shape[1:]))
            mended.append(medians.t().view_as(image).to(image.device).expand(len(places), *image.shape))
        mask, put = torch.stack(masks), torch.stack(mended)
        repaired = images[:, None] * (1 - mask) + put * mask
        logits = model(repaired.flatten(0, 1)).view(*repaired.shape[:2], -1)
        own = model(images).argmax(1)[:, None, None].expand(*logits.shape[:2], 1)
        left = logits.gather(2, own)[:, :, 0] - logits.scatter(2, own, -torch.inf).amax(2)
        score: PerImage = -left.amin(1)
        return score


@dataclass(frozen=True, eq=False)
class EnsembleSurrogate:
    """An ensemble's score from its members' surrogates."""

    guard: EnsembleGuard
    members: tuple[Surrogate, ...]

    @property
    def detector(self) -> str:
        """The name of the detector."""
        return Ensemble.name

    def __call__(self, model: Classifier, images: Images) -> PerImage:
        """The joined surprise."""
        scores = [member(model, images) for member in self.members]
        return joined(scores, self.guard.scales, self.guard.how)
