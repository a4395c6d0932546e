"""Neighbourhood: the neighbours of some images, and what can be counted from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pixelproof.detect.guards.guard import NONE
from pixelproof.detect.neighbours.layers import activations
from pixelproof.detect.neighbours.store import Store
from pixelproof.models import Classifier
from pixelproof.types import Images, Labels, Logits

HALF = 0.5  # the weight of distances beside whole neighbours: it orders equal counts and never outweighs one


@dataclass(frozen=True, eq=False)
class Neighbourhood:
    """The neighbours of some images in every layer and the composed one, and what the model predicts."""

    predicted: Labels
    logits: Logits
    ids: tuple[Int[Tensor, "n _"], ...]
    labels: tuple[Int[Tensor, "n _"], ...]
    distance: tuple[Float[Tensor, "n _"], ...]

    def nearest(self, k: Sequence[int]) -> Neighbourhood:
        """The first `k` neighbours of each space, one number per space."""
        return replace(
            self,
            ids=tuple(one[:, :most] for one, most in zip(self.ids, k, strict=True)),
            labels=tuple(one[:, :most] for one, most in zip(self.labels, k, strict=True)),
            distance=tuple(one[:, :most] for one, most in zip(self.distance, k, strict=True)),
        )

    def strangers(self) -> Float[Tensor, "n spaces"]:
        """Neighbours of another class than the predicted one, per layer and composed.

        Plus half their share of all neighbours' closeness (inverse distances), which orders equal counts.
        """
        columns = []
        for labels, distance in zip(self.labels, self.distance, strict=True):
            other = (labels != self.predicted[:, None]).double()
            near = closeness(distance)
            columns.append(other.sum(1) + HALF * (other * near).sum(1) / near.sum(1))
        return torch.stack(columns, 1).float()

    def nonconformity(self, layers: int, classes: int) -> Float[Tensor, "n classes"]:
        """For every class: how many neighbours over all layers (the composed one left out) belong to another one."""
        total = sum(labels.shape[1] for labels in self.labels[:layers])
        votes = torch.stack([votes_of(labels, classes) for labels in self.labels[:layers]]).sum(0)
        return (total - votes).float()


def neighbourhood(store: Store, k: Sequence[int], model: Classifier, images: Images) -> Neighbourhood:
    """Neighbourhood `images` up in a store: one forward pass, one search."""
    rows, logits = activations(model, images, store.layers)
    found = store.search([rows[layer] for layer in store.layers], max(k))
    ids = tuple(one.ids[:, :most] for one, most in zip(found, k, strict=True))
    return Neighbourhood(
        predicted=logits.argmax(1),
        logits=logits,
        ids=ids,
        labels=tuple(store.labels[places] for places in ids),
        distance=tuple(one.distance[:, :most] for one, most in zip(found, k, strict=True)),
    )


def votes_of(labels: Int[Tensor, "n k"], classes: int) -> Int[Tensor, "n classes"]:
    """How many neighbours each class has."""
    return torch.zeros(len(labels), classes, dtype=torch.long).scatter_add_(1, labels, torch.ones_like(labels))


def closeness(distance: Float[Tensor, "n k"]) -> Float[Tensor, "n k"]:
    """Inverse distances in float64; a distance of zero counts as a millionth of the row's largest."""
    exact = distance.double()
    floor = (1e-6 * exact.amax(1, keepdim=True)).clamp_min(1e-30)
    return 1 / torch.maximum(exact, floor)


def recovered(
    labels: Int[Tensor, "n k"], distance: Float[Tensor, "n k"], predicted: Int[Tensor, " n"], classes: int
) -> Int[Tensor, " n"]:
    """The class of most neighbours where it is not the predicted one, else -1; ties go to the nearer neighbours."""
    near = closeness(distance)
    weight = 1 + HALF * near / near.sum(1, keepdim=True)
    votes = torch.zeros(len(labels), classes, dtype=torch.float64).scatter_add_(1, labels, weight)
    most = votes.argmax(1)
    return torch.where(most == predicted, NONE, most)
