"""Attacks that know the detector: fool the classifier and keep the guard quiet at once.

A detector is worth what is left of it here. Orthogonal and selective PGD after Bryniarski et al. 2021 (arXiv
2106.15023), and the plain weighted sum of both losses, its weight swept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor

from pixelproof import lp
from pixelproof.attacks import AdversarialSet, mount
from pixelproof.attacks.attack import Kind, Model, budget, check_settings
from pixelproof.data import Dataset
from pixelproof.detect.adaptive.surrogate import Surrogate, surrogate
from pixelproof.detect.guards.guard import Guard, Verdict
from pixelproof.draws import Draws, Rng
from pixelproof.errors import BadInput
from pixelproof.lp import Ball
from pixelproof.models import Classifier
from pixelproof.types import Goal, Images, Mask, PerImage, Rate

Method = Literal["orthogonal", "selective", "sum"]
METHODS = get_args(Method)
WEIGHTS = (0.1, 1.0, 10.0)


@dataclass(frozen=True)
class Target:
    """The guarded model under attack: the classifier whose inside the surrogate reads, and the detector's name."""

    model: Classifier = field(repr=False)
    score: Surrogate = field(repr=False)
    detector: str

    def __str__(self) -> str:
        return self.detector


@dataclass(frozen=True)
class Aware:
    """PGD that lowers the detector's score while it fools the classifier.

    - "orthogonal": step along the loss that is not yet won (first the classifier's), less its component along the
      other one's gradient; "selective": the same without the projection.
    - "sum": step along goal loss + `weight` x score, both gradients brought to the same length first.

    Keeps the image that reaches the goal with the lowest score, else the one nearest to the goal. Queries counted by
    the harness are those of the classifier's own output; each step also pays for the detector's surrogate.
    """

    target: Target
    eps: float
    method: Method = "orthogonal"
    steps: int = 100
    weight: float = 1.0

    name: ClassVar[str] = "aware"
    kind: ClassVar[Kind] = "budget"
    draws: ClassVar[bool] = True
    targetable: ClassVar[bool] = True
    norm: ClassVar[Ball] = "linf"

    def __post_init__(self) -> None:
        check_settings(self.name, eps=self.eps, norm=self.norm, at_least_one={"steps": self.steps})
        if not self.weight > 0:
            raise BadInput(self.name, "weight must be positive", self.weight)

    def __call__(self, model: Model, images: Images, goal: Goal, rng: Rng) -> Images:
        """The quietest image found that reaches the goal, per image."""
        eps = budget(self.eps, images, goal)
        start = lp.random_start(Draws.of(rng, len(images)), tuple(images.shape[1:]), eps, self.norm)
        x = (images + start.to(images.device)).clamp(0, 1)
        best, reached = images.clone(), torch.zeros(len(images), dtype=torch.bool, device=images.device)
        quietest = torch.full((len(images),), torch.inf, device=images.device)
        nearest = quietest.clone()
        for number in range(self.steps + 1):
            hit, loss, fool, score, hide = self._look(model, x, goal)
            better = torch.where(hit, ~reached | (score < quietest), ~reached & (loss < nearest))
            best[better] = x[better]
            quietest = torch.where(hit & better, score, quietest)
            nearest = torch.where(better, loss, nearest)
            reached |= hit
            if number == self.steps:
                break
            size = eps * 2.5 / self.steps if self.method == "sum" else eps / 10
            x = x - lp.per_image(size) * lp.ascent(self._direction(hit, fool, hide), self.norm)
            x = (images + lp.project(x - images, eps, self.norm)).clamp_(0, 1).detach()
        return best

    def _look(self, model: Model, x: Images, goal: Goal) -> tuple[Mask, PerImage, Images, PerImage, Images]:
        """Goal reached, goal loss and its gradient, detector's score and its gradient."""
        x = x.detach().requires_grad_()
        with torch.enable_grad():
            logits = model(x)
            loss = goal.loss(logits)
            (fool,) = torch.autograd.grad(loss.sum(), x)
            score = self.target.score(self.target.model, x)
            (hide,) = torch.autograd.grad(score.sum(), x, materialize_grads=True)
        return goal.reached(logits.detach()), loss.detach(), fool, score.detach(), torch.nan_to_num(hide)

    def _direction(self, hit: Mask, fool: Images, hide: Images) -> Images:
        if self.method == "sum":
            return unit(fool) + self.weight * unit(hide)
        fooled = hit.view(-1, 1, 1, 1)
        if self.method == "selective":
            return torch.where(fooled, hide, fool)
        return torch.where(fooled, without(hide, fool), without(fool, hide))


@dataclass(frozen=True, eq=False)
class AdaptiveResult:
    """What attacks that know the guard achieved; one row of `sets` and `verdicts` per attack, images in one order.

    `evaded[a]`: images that attack a turned to a wrong class without an alarm. An image is lost when any attack evades
    (the worst case per image). `score` is each image's lowest score over the attacks that fooled the classifier,
    infinite where none did.
    """

    attacks: tuple[str, ...]
    sets: tuple[AdversarialSet, ...]
    verdicts: tuple[Verdict, ...]

    @property
    def evaded(self) -> Tensor:
        """Mask (attacks, images)."""
        pairs = zip(self.sets, self.verdicts, strict=True)
        return torch.stack([found.success & ~verdict.alarm for found, verdict in pairs])

    @property
    def lost(self) -> Rate:
        """Images evaded by at least one attack."""
        worst = self.evaded.any(0)
        return Rate(int(worst.sum()), len(worst))

    def rate(self, attack: str) -> Rate:
        """Images evaded by one attack."""
        row = self.evaded[self.attacks.index(attack)]
        return Rate(int(row.sum()), len(row))

    @property
    def score(self) -> PerImage:
        """The quietest successful image's score, per image."""
        pairs = zip(self.sets, self.verdicts, strict=True)
        rows = [torch.where(found.success, verdict.score, torch.inf) for found, verdict in pairs]
        return torch.stack(rows).amin(0)


def adapt(
    guard: Guard,
    model: Classifier,
    data: Dataset,
    *,
    eps: float,
    steps: int = 100,
    weights: Sequence[float] = WEIGHTS,
    seed: int = 0,
) -> AdaptiveResult:
    """Attack `model` and `guard` together with every method, and "sum" with every weight, and judge with the guard."""
    score = surrogate(guard)
    target = Target(model, score, score.detector)
    settings: list[tuple[Method, float]] = [("orthogonal", 1.0), ("selective", 1.0)]
    settings += [("sum", weight) for weight in weights]
    names, sets, verdicts = [], [], []
    for method, weight in settings:
        attack = Aware(target, eps, method, steps, weight)
        found = mount(attack, model, data, seed=seed)
        names.append(method if method != "sum" else f"sum {weight:g}")
        sets.append(found)
        verdicts.append(guard(model, found.images))
    return AdaptiveResult(tuple(names), tuple(sets), tuple(verdicts))


def unit(gradient: Images) -> Images:
    """Each image's gradient divided by its length."""
    return gradient / lp.per_image(lp.norm(gradient, "l2").clamp_min(1e-20))


def without(one: Images, other: Images) -> Images:
    """`one` less its component along `other`, per image."""
    along = unit(other)
    return one - lp.per_image((one * along).flatten(1).sum(1)) * along
