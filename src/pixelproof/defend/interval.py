"""Interval-bound training: what it reaches is proven, not only not broken."""

from __future__ import annotations

from dataclasses import dataclass
from math import pi, sqrt
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pixelproof.data import Dataset
from pixelproof.defend.defence import Role, Setting, TrainingPart, check_eps, check_share
from pixelproof.defend.harden import Hardening
from pixelproof.draws import seeded
from pixelproof.errors import BadInput
from pixelproof.models import Classifier, Recipe, Step
from pixelproof.prove.interval import layers, proven, rivals
from pixelproof.types import Images, Logits

JUDGED = 500
LARGEST_GRADIENT = 8.0


@dataclass(frozen=True)
class IntervalTraining:
    """k CE(f(x)) + (1 - k) CE(upper bounds of all rivals within eps), k falling from 1 to `kappa` while eps grows.

    Gowal et al. 2018 (arXiv 1810.12715), with eps and k on the schedule of CROWN-IBP (Zhang et al. 2020, arXiv
    1906.06316): plain training for the share `begin`, then a ramp over the share `ramp`, then full eps. A fresh network
    starts from small weights, so that bounds do not grow from layer to layer (Shi et al. 2021, arXiv 2103.17268). The
    epoch with the highest accuracy certified at full eps on validation images is kept.
    """

    eps: float = 0.1
    kappa: float = 0.5
    begin: float = 0.02
    ramp: float = 0.5

    name: ClassVar[str] = "ibp"
    roles: ClassVar[tuple[Role, ...]] = ("adversary", "objective")

    def __post_init__(self) -> None:
        check_eps(self.name, self.eps)
        check_share(self.name, kappa=self.kappa, begin=self.begin, ramp=self.ramp)
        if self.begin + self.ramp > 1:
            raise BadInput(self.name, "begin and ramp must fit into the training", self.begin + self.ramp)

    def prepare(self, setting: Setting) -> TrainingPart:
        """One objective, judged by what is certified. Raises BadInput for a layer without interval bounds."""
        chain = layers(setting.model)
        if setting.fresh:
            with seeded(setting.training.seed):
                shrink(chain)

        def loss(images: Images, step: Step) -> tuple[Tensor, Logits]:
            return self.loss(chain, images, step)

        def judge(model: Classifier, validation: Dataset) -> float:
            return float(proven(model, validation.sample(min(JUDGED, len(validation)), 0), self.eps))

        return TrainingPart(Recipe(objective=loss, judge=judge, treatments=(_bounded,)))

    def loss(self, chain: list[nn.Module], images: Images, step: Step) -> tuple[Tensor, Logits]:
        """The weighted sum of both cross-entropies, and the clean logits."""
        ramp = min(1.0, max(0.0, step.progress - self.begin) / self.ramp) if self.ramp else 1.0
        share = 1 - (1 - self.kappa) * ramp
        with torch.set_grad_enabled(share > 0):  # without a weight the clean pass only counts what is right
            logits = step.classifier(images).float()
            plain = F.cross_entropy(logits, step.labels)
        if not ramp:
            return plain, logits
        worst = rivals(chain, images, step.labels, ramp * self.eps).float()
        return share * plain + (1 - share) * F.cross_entropy(worst, step.labels), logits

    def __call__(self, model: Classifier, data: Dataset, rng: torch.Generator) -> Classifier:
        """A network trained on its bounds."""
        return Hardening((self,))(model, data, rng)


def shrink(chain: list[nn.Module]) -> None:
    """Weights so small that a box of width 1 keeps about that width: standard deviation sqrt(2 pi) / inputs."""
    for layer in chain:
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.normal_(layer.weight, 0, sqrt(2 * pi) / layer.weight[0].numel())
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def _bounded(gradients: list[Tensor], step: Step) -> None:
    """Gradients cut to a total l2 norm of 8: while eps grows, single batches would throw the network back."""
    size = torch.stack(torch._foreach_norm(gradients)).norm()
    torch._foreach_mul_(gradients, (LARGEST_GRADIENT / (size + 1e-6)).clamp_max(1.0))
