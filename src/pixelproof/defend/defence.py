"""What a defence is: a frozen set of settings that turns a classifier into a hardened one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol, TypeAlias, runtime_checkable

import torch

from pixelproof.data import Dataset
from pixelproof.errors import BadInput
from pixelproof.models import Classifier, Recipe, Training


@runtime_checkable
class Defence(Protocol):
    """A frozen dataclass whose fields are its settings, its repr and its spec."""

    name: ClassVar[str]

    def __call__(self, model: Classifier, data: Dataset, rng: torch.Generator) -> Classifier:
        """A hardened classifier made from `model` and the training images `data`; `model` stays as it is."""
        ...


Role: TypeAlias = Literal["adversary", "objective", "mask", "ingredient"]


@dataclass(frozen=True, eq=False)
class Setting:
    """Where a training defence is prepared: the network about to be trained, and what it is trained with."""

    model: Classifier
    data: Dataset
    validation: Dataset
    training: Training
    fresh: bool


def unchanged(model: Classifier) -> Classifier:
    """The classifier itself."""
    return model


@dataclass(frozen=True, eq=False)
class TrainingPart:
    """What a training defence adds: ingredients of each step, and what is done to the trained classifier."""

    recipe: Recipe = Recipe()  # noqa: RUF009 (frozen, holds nothing)
    finish: Callable[[Classifier], Classifier] = unchanged


@runtime_checkable
class TrainingDefence(Defence, Protocol):
    """A defence that acts through training, so that several can share one."""

    roles: ClassVar[tuple[Role, ...]]

    def prepare(self, setting: Setting) -> TrainingPart:
        """Its ingredients; what is random in them is drawn from the training's seed."""
        ...


def check_eps(who: str, eps: float) -> None:
    """Refuse a budget that is no change of an image in [0, 1]."""
    if not 0 < eps <= 1:
        raise BadInput(who, "eps must lie in (0, 1]", eps, "On images in [0, 1] write 8/255, not 8.")


def check_share(who: str, **shares: float) -> None:
    """Refuse values outside [0, 1]."""
    for key, value in shares.items():
        if not 0 <= value <= 1:
            raise BadInput(who, f"{key} must lie in [0, 1]", value)


def check_positive(who: str, **values: float) -> None:
    """Refuse values that are not positive and finite."""
    for key, value in values.items():
        if not 0 < value < float("inf"):
            raise BadInput(who, f"{key} must be a positive number", value)
