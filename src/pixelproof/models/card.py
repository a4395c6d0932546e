"""Card: where a classifier comes from, and what is known of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Card:
    """Where a classifier comes from: network, training data, seed, accuracy on held-out images, and its defences.

    `defences` are the specs of all it went through, `preprocessors` of what stands before the network (outermost
    first), `parent` the digest of the classifier it was made from, `cost` the CPU seconds that all its defences took.
    `batch_dependent`: its answer to an image was seen to depend on the other images of the batch.
    """

    name: str
    classes: tuple[str, ...]
    input_shape: tuple[int, int, int]
    data: str = ""
    seed: int | None = None
    accuracy: float | None = None
    defences: tuple[str, ...] = ()
    stochastic: bool = False
    preprocessors: tuple[str, ...] = ()
    parent: str = ""
    cost: float | None = None
    batch_dependent: bool = False
