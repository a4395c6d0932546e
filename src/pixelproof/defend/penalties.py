"""Penalties on the gradient of the loss in the image: how much, and how unevenly, it reacts to pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from pixelproof import lp
from pixelproof.data import Dataset
from pixelproof.defend.defence import Role, Setting, TrainingPart, check_positive
from pixelproof.defend.harden import Hardening
from pixelproof.models import Classifier, Recipe, Step
from pixelproof.types import Images


@dataclass(frozen=True)
class InputGradientPenalty:
    """`weight` * mean |d CE / d x|^2, by double backpropagation or by a finite difference of length `reach`.

    Ross & Doshi-Velez 2018 (arXiv 1711.09404); the finite form, ((CE(x + h d) - CE(x)) / h)^2 along the gradient's
    direction d, is Finlay & Oberman 2019 (arXiv 1905.11468) and needs no second derivative.
    """

    weight: float = 1.0
    form: Literal["double", "finite"] = "double"
    reach: float = 0.1

    name: ClassVar[str] = "input-gradient"
    roles: ClassVar[tuple[Role, ...]] = ("ingredient",)

    def __post_init__(self) -> None:
        check_positive(self.name, weight=self.weight, reach=self.reach)

    def prepare(self, setting: Setting) -> TrainingPart:
        """One penalty."""
        return TrainingPart(Recipe(penalties=(self.penalty,)))

    def penalty(self, images: Images, step: Step) -> Tensor:
        """The weighted penalty of a step."""
        gradient, losses = image_gradient(images, step, twice=self.form == "double")
        if self.form == "double":
            return self.weight * gradient.square().flatten(1).sum(1).mean()
        ahead = images.detach() + self.reach * lp.ascent(gradient, "l2")
        change = (_losses(ahead, step) - losses) / self.reach
        return self.weight * change.square().mean()

    def __call__(self, model: Classifier, data: Dataset, rng: torch.Generator) -> Classifier:
        """A network trained with the penalty."""
        return Hardening((self,))(model, data, rng)


@dataclass(frozen=True)
class InputGradientSmoothing:
    """`weight` * mean |g - blur(g)|^2 for the image gradient g and its 3 x 3 mean: neighbours should matter alike.

    Only the uneven part is penalised, that which a perturbation of single pixels exploits.
    """

    weight: float = 1.0

    name: ClassVar[str] = "input-smoothing"
    roles: ClassVar[tuple[Role, ...]] = ("ingredient",)

    def __post_init__(self) -> None:
        check_positive(self.name, weight=self.weight)

    def prepare(self, setting: Setting) -> TrainingPart:
        """One penalty."""
        return TrainingPart(Recipe(penalties=(self.penalty,)))

    def penalty(self, images: Images, step: Step) -> Tensor:
        """The weighted penalty of a step."""
        gradient, _ = image_gradient(images, step, twice=True)
        even = F.avg_pool2d(F.pad(gradient, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
        return self.weight * (gradient - even).square().flatten(1).sum(1).mean()

    def __call__(self, model: Classifier, data: Dataset, rng: torch.Generator) -> Classifier:
        """A network trained with the penalty."""
        return Hardening((self,))(model, data, rng)


def image_gradient(images: Images, step: Step, *, twice: bool) -> tuple[Images, Tensor]:
    """The gradient of each image's cross-entropy, and the cross-entropies (n).

    With `twice` the gradient can itself be differentiated. In float32: second derivatives of bfloat16 are noise.
    """
    x = images.detach().requires_grad_()
    losses = _losses(x, step)
    gradient: Tensor = torch.autograd.grad(losses.sum(), x, create_graph=twice, retain_graph=True)[0]
    return gradient, losses


def _losses(images: Images, step: Step) -> Tensor:
    with torch.autocast(images.device.type, enabled=False):
        return F.cross_entropy(step.classifier(images), step.labels, reduction="none")
