"""Subject: the model under audit, the images it gets right, and the attacks that several tests share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor, nn

from pixelproof.attacks import FGSM, PGD, Attack, Auto
from pixelproof.attacks.mount import Prepared
from pixelproof.attacks.stochastic import JUDGE_DRAWS, fooling_rates
from pixelproof.draws import Draws, subseed
from pixelproof.lp import Ball
from pixelproof.models import Classifier
from pixelproof.results import Effort, Evaluation
from pixelproof.types import Goal, Images, Logits, Mask, PerImage

PROBE_DRAWS = 10  # passes of a random model that judge each probe; what would lower the bound gets JUDGE_DRAWS
CLEARLY = 0.2  # by how much more often an image must fool a random model to count as newly broken


@dataclass(frozen=True, eq=False)
class Claim:
    """What is said of a model: the attack whose figure is quoted, the one it was trained with, if any.

    Of an attack that the table of attacks does not hold `trained_with` is the spec. `surrogate` is a model that
    attacks may be transferred from.
    """

    reported: Attack
    trained_with: Attack | str | None = None
    surrogate: Classifier | None = None


@dataclass(frozen=True, eq=False)
class Hits:
    """What an attack did to the images of a field: the images, how often each fools, where only an iterate did."""

    images: Images
    rate: PerImage
    silent: Mask

    @property
    def success(self) -> Mask:
        """Where the images fool: for a random model, more often than not."""
        return self.rate > 0.5

    @property
    def held(self) -> float:
        """The share that held."""
        return float((~self.success).double().mean())


@dataclass(frozen=True, eq=False)
class AuditSubject:
    """What every test gets: `field` holds the correctly classified images and the model as attackers see it.

    For a random model that is the expectation over draws.
    """

    model: Classifier
    field: Prepared
    ensemble: Auto
    evaluation: Evaluation
    claim: Claim
    effort: Effort
    seed: int
    random: bool

    @property
    def eps(self) -> float:
        """The budget of the evaluation."""
        return self.evaluation.eps

    @property
    def norm(self) -> Ball:
        """The norm of the evaluation."""
        norm = self.evaluation.norm
        assert norm in ("linf", "l2")
        return norm

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return len(self.model.card.classes)

    @cached_property
    def probes(self) -> Prepared:
        """The images that the attacking tests use: a stratified sample of the correct ones, or all of them."""
        sample = self.field.data.sample(min(self.effort.probes, len(self.field.data)), self.seed)
        return self.among(torch.isin(self.field.data.index, sample.index))

    @cached_property
    def standing(self) -> Mask:
        """Which images of `field` the evaluation left standing."""
        return ~self.evaluation.success

    def among(self, rows: Mask | Tensor) -> Prepared:
        """Some images of `field`."""
        return replace(self.field, data=self.field.data[rows], goal=self.field.goal[rows])

    def attack(self, attack: Attack, field: Prepared, *, salt: int = 0) -> Hits:
        """Run `attack` on a field and judge it, a random model by ten passes per image."""
        outcome = field.run(attack, Draws.keyed(subseed(self.seed, salt), field.data.index))
        rate = self.fooling(outcome.images, field.goal)
        return Hits(outcome.images, rate, (outcome.first_break >= 0) & (rate <= 0.5))

    def fooling(self, images: Images, goal: Goal, draws: int = PROBE_DRAWS) -> PerImage:
        """How often each image fools the model itself, and not only its expectation: 0 or 1 unless it is random."""
        return fooling_rates(self.model, images, goal, draws=draws if self.random else 1).per_image

    def broken(self, images: Images, field: Prepared) -> Mask:
        """Where images break what the evaluation left standing; for a random model, clearly more often than its own."""
        rate = self.fooling(images, field.goal, JUDGE_DRAWS)
        rows = torch.isin(self.field.data.index, field.data.index)
        return (rate > 0.5) & (rate > self.evaluation.rate[rows] + CLEARLY * self.random)

    @cached_property
    def one_step(self) -> Hits:
        """FGSM on the probes."""
        return self.attack(FGSM(self.eps, self.norm), self.probes)

    @cached_property
    def iterated(self) -> Hits:
        """PGD on the probes, 40 steps from a random start."""
        return self.attack(PGD(self.eps, norm=self.norm), self.probes)

    @cached_property
    def quoted(self) -> Hits:
        """The reported attack on the probes."""
        same = self.claim.reported == PGD(self.eps, norm=self.norm)
        return self.iterated if same else self.attack(self.claim.reported, self.probes)


class Connected(nn.Module):
    """A network whose outputs lead back to the image with a gradient of zero: what attacks can make of a blind one."""

    def __init__(self, model: Classifier) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Images) -> Logits:
        """The network's own outputs."""
        with torch.no_grad():
            logits: Tensor = self.model(images.detach())
        return logits + 0 * images.flatten(1).sum(1, keepdim=True)


def connected(model: Classifier) -> Classifier:
    """`model` as a classifier that gradient attacks can run on, without getting anywhere."""
    return Classifier(Connected(model), model.card).to(model.device).eval()
