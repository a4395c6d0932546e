"""A learned mask: which features does the network need?"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf, log
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from pixelproof.data import Dataset
from pixelproof.defend.defence import Role, Setting, TrainingPart, check_positive, check_share
from pixelproof.defend.harden import Hardening
from pixelproof.models import Classifier, Recipe, Step
from pixelproof.models.preprocessors import Features
from pixelproof.models.preprocessors.features import Chosen
from pixelproof.models.train import evaluate
from pixelproof.types import Images

TEMPERATURE = 2 / 3
STRETCH = (-0.1, 1.1)
FASTER = 10.0  # the mask's logits are this many times a parameter, so that a network's learning rate moves them
BEGIN = 0.2  # times FASTER: at first nearly every feature is kept


@dataclass(frozen=True)
class LearnedMask:
    """One mask for all images, learned with the network: CE + `weight` * expected number of kept features.

    Paper 2's L_task + λ·Σ|M| with M relaxed to hard-concrete variables (Louizos et al. 2018, arXiv 1712.01312), so
    that the sum has a gradient. What is not kept becomes `fill`; at test the mask is binary and kept with the weights.
    The epoch is kept where the same sum, with the binary mask on validation images, is lowest; where another defence
    of the list judges epochs, as adversarial training does, its judge decides.
    """

    weight: float = 1e-3
    fill: float = 0.0

    name: ClassVar[str] = "learned-mask"
    roles: ClassVar[tuple[Role, ...]] = ("mask",)

    def __post_init__(self) -> None:
        check_positive(self.name, weight=self.weight)
        check_share(self.name, fill=self.fill)

    def prepare(self, setting: Setting) -> TrainingPart:
        """A transform with parameters, the penalty on them, and the binary mask at the end."""
        relaxed = Relaxed(self, setting.model)
        recipe = Recipe(
            transforms=(relaxed,),
            penalties=(relaxed.penalty,),
            parameters=(relaxed.logits,),
            during=(relaxed.shown,),
            judge=relaxed.judge,
            collapse=inf,
        )
        return TrainingPart(recipe, lambda model: Features(self.fill).keeping(model, relaxed.kept()))

    def __call__(self, model: Classifier, data: Dataset, rng: torch.Generator) -> Classifier:
        """A network that sees only the features it was found to need."""
        return Hardening((self,))(model, data, rng)


class Relaxed:
    """The mask while it is learned."""

    def __init__(self, settings: LearnedMask, model: Classifier) -> None:
        self.settings, self.shape = settings, model.card.input_shape
        self.logits = nn.Parameter(torch.full(self.shape, BEGIN, device=model.device))

    def __call__(self, images: Images, step: Step) -> Images:
        """Images under one sampled mask each."""
        u = torch.rand_like(images).clamp(1e-6, 1 - 1e-6)
        s = ((u.log() - (1 - u).log() + FASTER * self.logits) / TEMPERATURE).sigmoid()
        mask = (s * (STRETCH[1] - STRETCH[0]) + STRETCH[0]).clamp(0, 1)
        return images * mask + self.settings.fill * (1 - mask)

    def penalty(self, images: Images, step: Step) -> Tensor:
        """The weighted expected number of features that are not hidden."""
        shown = FASTER * self.logits - TEMPERATURE * log(-STRETCH[0] / STRETCH[1])
        return self.settings.weight * shown.sigmoid().sum()

    @contextmanager
    def shown(self, model: Classifier) -> Iterator[None]:
        """Inside, the model in evaluation mode sees what it would see at test: the kept features."""

        def hide(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Tensor] | None:
            return None if module.training else (torch.where(self.kept(), inputs[0], self.settings.fill),)

        handle = model.register_forward_pre_hook(hide)
        try:
            yield
        finally:
            handle.remove()

    def judge(self, model: Classifier, validation: Dataset) -> float:
        """Minus the objective on validation images: cross-entropy and the weighted number of kept features."""
        return -(evaluate(model, validation)[0] + self.settings.weight * int(self.kept().sum()))

    def kept(self) -> Tensor:
        """The features whose mask is more often on than off, boolean (c, h, w)."""
        return (self.logits > 0).detach()


def kept_features(model: Classifier) -> int:
    """How many features a classifier with a chosen or learned mask sees; all of them where there is none."""
    for part in model.modules():
        if isinstance(part, Chosen):
            return int(part.kept.sum())
    channels, height, width = model.card.input_shape
    return channels * height * width
