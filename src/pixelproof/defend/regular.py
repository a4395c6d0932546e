"""Regularisers that the paper mentions beside masking: weight decay, dropout, crops and jitter, and two of today."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pixelproof.data import Dataset
from pixelproof.defend.defence import Role, Setting, TrainingPart, check_positive, check_share
from pixelproof.defend.harden import Hardening
from pixelproof.errors import BadInput
from pixelproof.models import Classifier, Recipe, Step
from pixelproof.models.augmentation import shift
from pixelproof.types import Images


@dataclass(frozen=True)
class WeightDecay:
    """`amount` / 2 * |weights|^2 added to the loss."""

    amount: float = 1e-4

    name: ClassVar[str] = "weight-decay"
    roles: ClassVar[tuple[Role, ...]] = ("ingredient",)

    def __post_init__(self) -> None:
        check_positive(self.name, amount=self.amount)

    def prepare(self, setting: Setting) -> TrainingPart:
        """A setting of the optimiser."""
        return TrainingPart(Recipe(weight_decay=self.amount))

    def __call__(self, model: Classifier, data: Dataset, rng: torch.Generator) -> Classifier:
        """A network with smaller weights."""
        return Hardening((self,))(model, data, rng)


@dataclass(frozen=True)
class Dropout:
    """A share `rate` of what enters each dense layer, the network's first layer apart, set to zero in training."""

    rate: float = 0.25

    name: ClassVar[str] = "dropout"
    roles: ClassVar[tuple[Role, ...]] = ("ingredient",)

    def __post_init__(self) -> None:
        if not 0 < self.rate < 1:
            raise BadInput(self.name, "rate must lie between 0 and 1", self.rate)

    def prepare(self, setting: Setting) -> TrainingPart:
        """Hooks for as long as the training lasts."""
        return TrainingPart(Recipe(during=(self.dropping,)))

    @contextmanager
    def dropping(self, model: Classifier) -> Iterator[None]:
        """Inside, dense layers see thinned inputs while the model is in training mode."""

        def thin(layer: nn.Module, inputs: tuple[Any, ...]) -> tuple[Tensor]:
            return (F.dropout(inputs[0], self.rate, training=layer.training),)

        first = model.layers[0] if model.layers else ""
        dense = [part for name, part in model.net.named_modules() if isinstance(part, nn.Linear) and name != first]
        handles = [layer.register_forward_pre_hook(thin) for layer in dense]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def __call__(self, model: Classifier, data: Dataset, rng: torch.Generator) -> Classifier:
        """A network trained with dropout."""
        return Hardening((self,))(model, data, rng)


@dataclass(frozen=True)
class Augmentation:
    """Each image moved by up to `crop` pixels, and its brightness and contrast changed by up to `jitter`."""

    crop: int = 2
    jitter: float = 0.0

    name: ClassVar[str] = "augment"
    roles: ClassVar[tuple[Role, ...]] = ("ingredient",)

    def __post_init__(self) -> None:
        check_share(self.name, jitter=self.jitter)
        if self.crop < 0 or not (self.crop or self.jitter):
            raise BadInput(self.name, "needs crop or jitter above 0", f"crop={self.crop}, jitter={self.jitter}")

    def prepare(self, setting: Setting) -> TrainingPart:
        """One transform."""
        if 2 * self.crop >= min(setting.model.card.input_shape[1:]):
            raise BadInput(self.name, "crop must be below half of the image", self.crop)
        return TrainingPart(Recipe(transforms=(self.vary,)))

    def vary(self, images: Images, step: Step) -> Images:
        """The images of a step, each changed at random."""
        images = shift(images, self.crop) if self.crop else images
        if self.jitter:
            contrast, brightness = (2 * torch.rand(2, len(images), 1, 1, 1) - 1).to(images.device) * self.jitter
            mean = images.mean((1, 2, 3), keepdim=True)
            images = ((images - mean) * (1 + contrast) + mean + brightness).clamp(0, 1)
        return images

    def __call__(self, model: Classifier, data: Dataset, rng: torch.Generator) -> Classifier:
        """A network trained on varied images."""
        return Hardening((self,))(model, data, rng)


@dataclass(frozen=True)
class LabelSmoothing:
    """Targets of 1 - `amount` instead of 1 in the cross-entropy (Szegedy et al. 2016, arXiv 1512.00567)."""

    amount: float = 0.1

    name: ClassVar[str] = "label-smoothing"
    roles: ClassVar[tuple[Role, ...]] = ("objective",)

    def __post_init__(self) -> None:
        if not 0 < self.amount < 1:
            raise BadInput(self.name, "amount must lie between 0 and 1", self.amount)

    def prepare(self, setting: Setting) -> TrainingPart:
        """A setting of the loss."""
        return TrainingPart(Recipe(smoothing=self.amount))

    def __call__(self, model: Classifier, data: Dataset, rng: torch.Generator) -> Classifier:
        """A network that is less sure of itself."""
        return Hardening((self,))(model, data, rng)


@dataclass(frozen=True)
class WeightAverage:
    """The running mean of the weights, with this `decay` per step, in place of the last ones (Izmailov et al. 2018).

    arXiv 1803.05407, as an exponential mean.
    """

    decay: float = 0.99

    name: ClassVar[str] = "weight-average"
    roles: ClassVar[tuple[Role, ...]] = ("ingredient",)

    def __post_init__(self) -> None:
        if not 0 < self.decay < 1:
            raise BadInput(self.name, "decay must lie between 0 and 1", self.decay)

    def prepare(self, setting: Setting) -> TrainingPart:
        """A setting of the training."""
        return TrainingPart(Recipe(average=self.decay))

    def __call__(self, model: Classifier, data: Dataset, rng: torch.Generator) -> Classifier:
        """A network with averaged weights."""
        return Hardening((self,))(model, data, rng)
