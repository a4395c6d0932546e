"""What a run keeps about the penultimate layer: activations of classes, and projections to the plane."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from pixelproof.explain import LayerDrift, Shift
from pixelproof.types import Labels, Mask


@dataclass(frozen=True, eq=False)
class InsideRecord:
    """One attack seen from inside: unit shifts in the penultimate layer, drift per layer, linear separability."""

    attack: str
    layer: str
    shift: Shift
    drift: tuple[LayerDrift, ...]
    separability: float | None
    separability_n: int


@dataclass(frozen=True, eq=False)
class ProjectionRecord:
    """Two coordinates per image: the clean images, and each attack's (only those that fooled the classifier)."""

    method: str
    space: str
    labels: Labels
    clean: Float[Tensor, "n 2"]
    attacked: dict[str, Float[Tensor, "_ 2"]]
    fooled: dict[str, Mask]
