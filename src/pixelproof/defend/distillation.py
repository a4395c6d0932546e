"""Defensive distillation: a defence that is known to hide gradients rather than to resist."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from pixelproof.data import Dataset
from pixelproof.defend.defence import Role, Setting, TrainingPart, check_positive
from pixelproof.defend.harden import Hardening
from pixelproof.models import Classifier, Recipe, Step, duplicate, evaluating, train
from pixelproof.types import Images, Logits


@dataclass(frozen=True)
class Distillation:
    """Trained at a `temperature` on the soft answers of a teacher that was trained at it, used at temperature 1.

    Papernot et al. 2016 (arXiv 1511.04508). Its logits become so large that the gradient of the cross-entropy
    underflows; attacks on the margin see through it (Carlini & Wagner 2017, arXiv 1608.04644). Costs two trainings.
    """

    temperature: float = 20.0

    name: ClassVar[str] = "distillation"
    roles: ClassVar[tuple[Role, ...]] = ("objective",)

    def __post_init__(self) -> None:
        check_positive(self.name, temperature=self.temperature)

    def prepare(self, setting: Setting) -> TrainingPart:
        """Trains the teacher; the objective asks it."""
        teacher = duplicate(setting.model)
        train(teacher, setting.data, None, setting.training, recipe=Recipe(objective=self.hot))
        teacher.requires_grad_(False)

        def imitate(images: Images, step: Step) -> tuple[Tensor, Logits]:
            with torch.no_grad(), evaluating(teacher):
                soft = (teacher(images).float() / self.temperature).softmax(1)
            logits = step.classifier(images).float()
            return F.cross_entropy(logits / self.temperature, soft), logits

        return TrainingPart(Recipe(objective=imitate))

    def hot(self, images: Images, step: Step) -> tuple[Tensor, Logits]:
        """The cross-entropy at the temperature."""
        logits = step.classifier(images).float()
        return F.cross_entropy(logits / self.temperature, step.labels), logits

    def __call__(self, model: Classifier, data: Dataset, rng: torch.Generator) -> Classifier:
        """The student."""
        return Hardening((self,))(model, data, rng)
