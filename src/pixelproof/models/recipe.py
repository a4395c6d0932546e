"""Recipe: what a training step does beside the plain one; the holes of the one training loop."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields
from typing import Protocol, TypeAlias, runtime_checkable

from torch import Tensor, nn

from pixelproof.data import Dataset
from pixelproof.models.classifier import Classifier
from pixelproof.types import Images, Labels, Logits


@dataclass(frozen=True, eq=False)
class Step:
    """One step of training, as an ingredient sees it.

    `rows` are positions in the training set; `epoch` and `number` (of the step within it) count from 0; `progress`
    runs through [0, 1) over the whole training.
    """

    classifier: Classifier
    rows: Tensor
    labels: Labels
    epoch: int
    number: int
    progress: float


@runtime_checkable
class Transform(Protocol):
    """Changes the images of a step before the network sees them; may change them in place."""

    def __call__(self, images: Images, step: Step) -> Images:
        """Images of the same shape, in [0, 1]."""
        ...


@runtime_checkable
class StepLoss(Protocol):
    """The loss of a step, in place of the cross-entropy."""

    def __call__(self, images: Images, step: Step) -> tuple[Tensor, Logits]:
        """The loss (a scalar with a gradient) and the logits that count as the step's predictions."""
        ...


@runtime_checkable
class Penalty(Protocol):
    """A term that is added to the loss of a step."""

    def __call__(self, images: Images, step: Step) -> Tensor:
        """A scalar with a gradient."""
        ...


@runtime_checkable
class Treatment(Protocol):
    """Changes the gradients of the parameters between the backward pass and the optimiser, in place."""

    def __call__(self, gradients: list[Tensor], step: Step) -> None:
        """Nothing is returned."""
        ...


Judge: TypeAlias = Callable[[Classifier, Dataset], float]
During: TypeAlias = Callable[[Classifier], AbstractContextManager[None]]


@dataclass(frozen=True, eq=False)
class Recipe:
    """The ingredients of a training; the empty one is plain training. `+` joins two, in order.

    `objective` None is the cross-entropy. `parameters` are learned beside the network's, without weight decay and
    treatments, and those of the best epoch are kept with its weights. `judge` scores the network on validation images
    after each epoch: the best epoch's weights are kept by it instead of by accuracy, and a fall of `collapse` below
    the best ends the training. `during` is entered around the training. `average` is the decay of
    the running mean of the weights that is kept instead of the last ones (0: none). `weight_decay` is added to that
    of the settings, `smoothing` is the label smoothing of the cross-entropy.
    """

    transforms: tuple[Transform, ...] = ()
    objective: StepLoss | None = None
    penalties: tuple[Penalty, ...] = ()
    treatments: tuple[Treatment, ...] = ()
    parameters: tuple[nn.Parameter, ...] = ()
    during: tuple[During, ...] = ()
    judge: Judge | None = None
    collapse: float = 1.0
    average: float = 0.0
    weight_decay: float = 0.0
    smoothing: float = 0.0

    def __add__(self, other: Recipe) -> Recipe:
        """Both; where only one of a kind can be, the later one that has it."""
        joined = {}
        for entry in fields(self):
            mine, theirs = getattr(self, entry.name), getattr(other, entry.name)
            if isinstance(mine, tuple):
                joined[entry.name] = mine + theirs
            else:
                joined[entry.name] = mine if theirs == entry.default else theirs
        return Recipe(**joined)


PLAIN = Recipe()
