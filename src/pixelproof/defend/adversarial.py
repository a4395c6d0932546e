"""Adversarial training: learn from the images that fool the network as it is now."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from pixelproof import attacks, specs
from pixelproof.attacks import PGD, Attack
from pixelproof.data import Dataset
from pixelproof.defend.defence import Defence, Role, Setting, TrainingPart, check_eps, check_positive, check_share
from pixelproof.defend.harden import Hardening
from pixelproof.errors import BadInput
from pixelproof.models import Classifier, Recipe, Step
from pixelproof.models.recipe import Judge
from pixelproof.types import Images, Labels, Logits

JUDGED = 200  # validation images that PGD is tried on after each epoch
JUDGE_STEPS = 10


@dataclass(frozen=True)
class FastAdversarial:
    """One FGSM step of `alpha` eps from a random start, for a share of each batch (Wong et al. 2020, arXiv 2001.03994).

    `warmup` is the share of training over which eps grows to its full size. After each epoch PGD is tried on 200
    validation images: the epoch where it holds best is kept, and a fall by more than `collapse` (catastrophic
    overfitting: the network learns to beat FGSM alone) ends the training; collapse=0 leaves all that out.
    """

    eps: float = 0.1
    alpha: float = 1.25
    share: float = 0.5
    warmup: float = 0.0
    collapse: float = 0.2

    name: ClassVar[str] = "fgsm-rs"
    roles: ClassVar[tuple[Role, ...]] = ("adversary",)

    def __post_init__(self) -> None:
        check_eps(self.name, self.eps)
        check_positive(self.name, alpha=self.alpha, share=self.share)
        check_share(self.name, share=self.share, warmup=self.warmup, collapse=self.collapse)

    def prepare(self, setting: Setting) -> TrainingPart:
        """One transform, judged by PGD."""
        return TrainingPart(Recipe(transforms=(self.fool,)) + _judged(self.eps, self.collapse))

    def fool(self, images: Images, step: Step) -> Images:
        """The batch with its first part one step away."""
        n, eps = round(self.share * len(images)), grown(self.eps, self.warmup, step)
        moved = perturb(step.classifier, images[:n], step.labels[:n], eps, steps=1, size=self.alpha * eps)
        return moved if n == len(images) else torch.cat([moved, images[n:]])

    @property
    def attack(self) -> PGD:
        """The attack that does the same."""
        return PGD(self.eps, steps=1, step_size=self.alpha * self.eps)

    def __call__(self, model: Classifier, data: Dataset, rng: torch.Generator) -> Classifier:
        """A network trained on what fools it."""
        return Hardening((self,))(model, data, rng)


@dataclass(frozen=True)
class PgdAdversarial:
    """`steps` PGD steps of 2.5 eps / steps from a random start, for a share of each batch (Madry et al. 2018).

    arXiv 1706.06083. `warmup` and `collapse` as for fgsm-rs.
    """

    eps: float = 0.1
    steps: int = 7
    share: float = 1.0
    warmup: float = 0.0
    collapse: float = 0.2

    name: ClassVar[str] = "pgd-at"
    roles: ClassVar[tuple[Role, ...]] = ("adversary",)

    def __post_init__(self) -> None:
        check_eps(self.name, self.eps)
        check_positive(self.name, share=self.share)
        check_share(self.name, share=self.share, warmup=self.warmup, collapse=self.collapse)
        if self.steps < 1:
            raise BadInput(self.name, "steps must be at least 1", self.steps)

    def prepare(self, setting: Setting) -> TrainingPart:
        """One transform, judged by PGD."""
        return TrainingPart(Recipe(transforms=(self.fool,)) + _judged(self.eps, self.collapse))

    def fool(self, images: Images, step: Step) -> Images:
        """The batch with its first part walked away."""
        n, eps = round(self.share * len(images)), grown(self.eps, self.warmup, step)
        size = 2.5 * eps / self.steps
        moved = perturb(step.classifier, images[:n], step.labels[:n], eps, steps=self.steps, size=size)
        return moved if n == len(images) else torch.cat([moved, images[n:]])

    @property
    def attack(self) -> PGD:
        """The attack that does the same."""
        return PGD(self.eps, steps=self.steps)

    def __call__(self, model: Classifier, data: Dataset, rng: torch.Generator) -> Classifier:
        """A network trained on what fools it."""
        return Hardening((self,))(model, data, rng)


@dataclass(frozen=True)
class Trades:
    """CE(x) + `beta` KL(p(x) || p(x')), x' the image in the ball whose answer differs most (Zhang et al. 2019).

    arXiv 1901.08573; x' by `steps` steps of 2.5 eps / steps from near x. `warmup` and `collapse` as for fgsm-rs.
    """

    eps: float = 0.1
    beta: float = 1.0
    steps: int = 7
    warmup: float = 0.0
    collapse: float = 0.2

    name: ClassVar[str] = "trades"
    roles: ClassVar[tuple[Role, ...]] = ("adversary", "objective")

    def __post_init__(self) -> None:
        check_eps(self.name, self.eps)
        check_positive(self.name, beta=self.beta)
        check_share(self.name, warmup=self.warmup, collapse=self.collapse)
        if self.steps < 1:
            raise BadInput(self.name, "steps must be at least 1", self.steps)

    def prepare(self, setting: Setting) -> TrainingPart:
        """One objective, judged by PGD."""
        return TrainingPart(Recipe(objective=self.loss) + _judged(self.eps, self.collapse))

    def loss(self, images: Images, step: Step) -> tuple[Tensor, Logits]:
        """The two terms, and the logits of the clean images."""
        model, eps = step.classifier, grown(self.eps, self.warmup, step)
        with torch.no_grad():
            target = model(images).float().softmax(1)

        def apart(logits: Logits) -> Tensor:
            return F.kl_div(logits.log_softmax(1), target, reduction="sum")

        size = 2.5 * eps / self.steps
        moved = perturb(model, images, step.labels, eps, steps=self.steps, size=size, loss=apart)
        logits = model(torch.cat([images, moved])).float()
        clean, fooled = logits.chunk(2)
        drift = F.kl_div(fooled.log_softmax(1), clean.softmax(1), reduction="batchmean")
        return F.cross_entropy(clean, step.labels) + self.beta * drift, clean

    def __call__(self, model: Classifier, data: Dataset, rng: torch.Generator) -> Classifier:
        """A network whose answer stays where it is in the ball."""
        return Hardening((self,))(model, data, rng)


def trained_with(defences: Sequence[Defence]) -> Attack | str | None:
    """The attack that a training with these defences learns from, as `measure.audit` asks for it; None without one.

    TRADES climbs a divergence that no attack of the table climbs and stays a spec.
    """
    for defence in defences:
        if isinstance(defence, FastAdversarial | PgdAdversarial):
            return defence.attack
        if isinstance(defence, Trades):
            return specs.write(defence)
    return None


def grown(eps: float, warmup: float, step: Step) -> float:
    """The budget at a step: a straight line from 0 to `eps` over the share `warmup` of training."""
    return eps if step.progress >= warmup else eps * step.progress / warmup


def perturb(
    model: Classifier,
    images: Images,
    labels: Labels,
    eps: float,
    *,
    steps: int,
    size: float,
    loss: Callable[[Logits], Tensor] | None = None,
) -> Images:
    """Images inside the linf ball and [0, 1] after `steps` signed steps up the loss, from a random start.

    An attack's loop without its book-keeping: training needs neither counts nor the best iterate, only speed.
    """
    low, high = (images - eps).clamp_(0, 1), (images + eps).clamp_(0, 1)
    moved = low + torch.rand_like(images) * (high - low)
    for _ in range(steps):
        moved.requires_grad_()
        logits = model(moved).float()
        value = F.cross_entropy(logits, labels, reduction="sum") if loss is None else loss(logits)
        gradient = torch.autograd.grad(value, moved)[0]
        moved = torch.minimum(torch.maximum(moved.detach() + size * gradient.sign(), low), high)
    return moved


def _judged(eps: float, collapse: float) -> Recipe:
    """A recipe that keeps the epoch where PGD holds best; the empty one when collapse is 0."""
    return Recipe(judge=judge(eps), collapse=collapse) if collapse else Recipe()


def judge(eps: float) -> Judge:
    """The accuracy under PGD with ten steps on up to 200 validation images, all images counted."""
    attack = PGD(eps, steps=JUDGE_STEPS)

    def score(model: Classifier, validation: Dataset) -> float:
        few = validation.sample(min(JUDGED, len(validation)), 0)
        if not (model.predict(few.images).argmax(1) == few.labels).any():
            return 0.0
        found = attacks.mount(attack, model, few)
        return float((~found.success).sum()) / len(few)

    return score
