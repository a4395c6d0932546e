"""sigma-zero and PDPGD: the fewest pixels, and minimal norms by descent on a price."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch

from pixelproof import lp
from pixelproof.attacks.attack import Kind, Model, check_settings, limit
from pixelproof.attacks.gradient_pass import differentiate
from pixelproof.attacks.nearest import Nearest
from pixelproof.attacks.objectives import Objective
from pixelproof.attacks.watch import watch
from pixelproof.draws import Rng
from pixelproof.errors import BadInput
from pixelproof.lp import Convex
from pixelproof.specs import derived
from pixelproof.types import Goal, Images, PerImage


@dataclass(frozen=True)
class SigmaZero:
    """sigma-zero (Cina et al. 2024, arXiv 2402.01879): few changed pixels, by descent on a smooth count of them.

    Lowers max(margin, 0) + sum_i d_i^2 / (d_i^2 + sigma) / count with steps scaled to unit linf gradient; pixels whose
    largest change is below a threshold are set back, and the threshold rises on adversarial images and falls on
    others. Counted are pixels, whatever the number of channels changed in them.
    """

    steps: int = 1000
    step_size: float = 1.0
    sigma: float = 1e-3
    threshold: float = 0.3
    rate: float = 0.01
    eps: float | None = field(default=None, metadata=derived("none: the smallest perturbation, whatever its size"))

    name: ClassVar[str] = "sigma-zero"
    kind: ClassVar[Kind] = "minimal"
    draws: ClassVar[bool] = False
    targetable: ClassVar[bool] = True
    norm: ClassVar[Literal["l0"]] = "l0"

    def __post_init__(self) -> None:
        check_settings(self.name, eps=self.eps, norm=self.norm, at_least_one={"steps": self.steps})
        if not (self.step_size > 0 and self.sigma > 0 and 0 <= self.threshold <= 1 and self.rate >= 0):
            raise BadInput(self.name, "step_size and sigma must be positive, threshold in 0..1", self)

    def __call__(self, model: Model, images: Images, goal: Goal, rng: Rng) -> Images:
        """The adversarial image with the fewest changed pixels found, or the last; cut back to `eps` if given."""
        watched, nearest = watch(model, goal), Nearest.begin(images, "l0")
        objective = Objective.of(goal, "margin")
        pixels = images[0, 0].numel()
        threshold = torch.full((len(images),), self.threshold, device=images.device)
        delta = torch.zeros_like(images)
        first, second = torch.zeros_like(delta), torch.zeros_like(delta)
        for step in range(1, self.steps + 1):
            delta = delta.detach().requires_grad_()
            with torch.enable_grad():
                logits = watched(images + delta)
                squares = delta.square().sum(1)
                count = (squares / (squares + self.sigma)).flatten(1).sum(1) / pixels
                cost = objective.loss(logits).clamp_min(0) + count
                gradient = differentiate(cost, delta, watched.card.name)
            hit = objective.reached(logits.detach())
            delta = delta.detach()
            nearest.note(images + delta, hit)
            share = (1 + math.cos(math.pi * step / self.steps)) / 2
            size = self.step_size * (0.1 + 0.9 * share) if self.steps > 1 else self.step_size
            unit = lp.unit(gradient, "linf")
            first = 0.9 * first + 0.1 * unit
            second = 0.999 * second + 0.001 * unit.square()
            moment = (first / (1 - 0.9**step)) / ((second / (1 - 0.999**step)).sqrt() + 1e-8)
            delta = (images + delta - size * moment).clamp(0, 1) - images
            threshold = (threshold + torch.where(hit, self.rate, -self.rate) * size).clamp(0, 1)
            delta = delta * (delta.abs().amax(1, keepdim=True) > lp.per_image(threshold))
        with torch.no_grad():
            nearest.note(images + delta, goal.reached(watched(images + delta)))
        return nearest.within(limit(self.eps, images, goal))


@dataclass(frozen=True)
class PDPGD:
    """Primal-dual proximal gradient descent (Matyasko & Chau 2021, arXiv 2106.01538) for l1, l2 and linf.

    Descends on the perturbation's size plus a price times the margin; each step ends with the proximal operator of
    the size, and the price, kept as a softmax of two dual variables, rises while the image is not adversarial. At the
    end, as `Nearest.straighten` says, a few projections of the clean image onto the boundary found.
    """

    norm: Convex = "linf"
    steps: int = 300
    primal_rate: float = 0.1
    dual_rate: float = 0.01
    price: float = 0.1
    eps: float | None = field(default=None, metadata=derived("none: the smallest perturbation, whatever its size"))

    name: ClassVar[str] = "pdpgd"
    kind: ClassVar[Kind] = "minimal"
    draws: ClassVar[bool] = False
    targetable: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_settings(self.name, eps=self.eps, norm=self.norm, at_least_one={"steps": self.steps})
        if not (self.primal_rate > 0 and self.dual_rate > 0 and 0 < self.price < 1):
            raise BadInput(self.name, "rates must be positive and price in (0, 1)", self)

    def __call__(self, model: Model, images: Images, goal: Goal, rng: Rng) -> Images:
        """The nearest adversarial image found, or the last iterate where none was; cut back to `eps` if given."""
        watched, nearest = watch(model, goal), Nearest.begin(images, self.norm)
        objective = Objective.of(goal, "margin")
        dual = torch.full((len(images),), math.log(self.price / (1 - self.price)), device=images.device)
        average = torch.sigmoid(dual)
        delta = torch.zeros_like(images)
        second = torch.zeros_like(images)
        for step in range(1, self.steps + 1):
            delta = delta.detach().requires_grad_()
            with torch.enable_grad():
                logits = watched(images + delta)
                gap = objective.loss(logits)
                gradient = differentiate(gap, delta, watched.card.name)
            hit = objective.reached(logits.detach())
            delta = delta.detach()
            nearest.note(images + delta, hit)
            share = 0.1 ** (step / self.steps)
            weight = torch.sigmoid(dual)
            average = 0.9 * average + 0.1 * weight
            second = 0.999 * second + 0.001 * gradient.square()
            scale = (second / (1 - 0.999**step)).flatten(1).mean(1).sqrt().clamp_min(lp.TINY)
            size = self.primal_rate * share / scale
            pushing = torch.where(hit, torch.zeros_like(gap), torch.ones_like(gap))
            delta = delta - lp.per_image(size * pushing) * gradient
            price = size * (1 - average) / average * scale * self._unit(delta)
            delta = (images + shrink(delta, price, self.norm)).clamp(0, 1) - images
            dual = dual - self.dual_rate * torch.where(hit, 1.0, -1.0) * share * 10
        with torch.no_grad():
            nearest.note(images + delta, goal.reached(watched(images + delta)))
        nearest.polish(watched, goal).straighten(watched, objective, self.norm)
        return nearest.polish(watched, goal).within(limit(self.eps, images, goal))

    def _unit(self, delta: Images) -> PerImage:
        """What one unit of price means in each norm, so that one set of rates serves all."""
        values = delta[0].numel()
        unit = {"l1": 0.1, "l2": 1.0, "linf": math.sqrt(values)}[self.norm]
        return torch.full((len(delta),), unit, device=delta.device)


def shrink(delta: Images, price: PerImage, norm: Convex) -> Images:
    """The proximal operator of `price` times a norm: argmin_u price ||u|| + ||u - delta||^2 / 2."""
    if norm == "l1":
        return delta.sign() * (delta.abs() - lp.per_image(price)).clamp_min(0)
    if norm == "l2":
        size = lp.norm(delta, "l2").clamp_min(lp.TINY)
        return delta * lp.per_image((1 - price / size).clamp_min(0))
    return delta - lp.project_l1(delta, price)
