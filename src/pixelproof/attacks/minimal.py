"""DDN, FMN and CW: the smallest perturbation that succeeds; one run gives the whole robustness curve."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

import torch
from torch import Tensor

from pixelproof import lp
from pixelproof.attacks.attack import Kind, Model, check_settings, limit
from pixelproof.attacks.gradient_pass import ask, differentiate
from pixelproof.attacks.nearest import Nearest
from pixelproof.attacks.objectives import Objective
from pixelproof.attacks.precision import Precision, in_half, settled
from pixelproof.attacks.watch import Watched, watch
from pixelproof.draws import Rng
from pixelproof.errors import BadInput
from pixelproof.specs import derived
from pixelproof.types import Goal, Images, Norm, PerImage

DUAL: dict[Norm, Norm] = {"l1": "linf", "l2": "l2", "linf": "l1"}


@dataclass(frozen=True)
class DDN:
    """Decoupling direction and norm (Rony et al. 2019, arXiv 1811.09600), for l2.

    A step along the normalised gradient sets the direction; the length of the perturbation shrinks by 1 - gamma where
    the image is adversarial and grows by 1 + gamma where it is not. The step falls from 1 to 0.01 on a cosine.
    `precision` "auto" takes gradients in bfloat16 where the processor has it; every success handed in is float32.
    """

    steps: int = 100
    gamma: float = 0.05
    precision: Precision = field(default="auto", metadata=derived("bf16 where the processor has it, else float32"))
    eps: float | None = field(default=None, metadata=derived("none: the smallest perturbation, whatever its size"))

    name: ClassVar[str] = "ddn"
    kind: ClassVar[Kind] = "minimal"
    draws: ClassVar[bool] = False
    targetable: ClassVar[bool] = True
    norm: ClassVar[Literal["l2"]] = "l2"

    def __post_init__(self) -> None:
        check_settings(self.name, eps=self.eps, norm=self.norm, at_least_one={"steps": self.steps})
        if not 0 < self.gamma < 1:
            raise BadInput(self.name, "gamma must lie in (0, 1)", self.gamma)

    def used(self, device: torch.device) -> DDN:
        """The same attack with its precision written out."""
        return replace(self, precision=settled(self.precision, device))

    def __call__(self, model: Model, images: Images, goal: Goal, rng: Rng) -> Images:
        """The nearest adversarial image found, or the last iterate where none was; cut back to `eps` if given."""
        watched, nearest = watch(model, goal), Nearest.begin(images, "l2")
        objective = Objective.of(goal, "ce")
        half = in_half(self.precision, images.device)
        length = torch.ones(len(images), device=images.device)
        delta = torch.zeros_like(images)
        for step in range(self.steps + 1):
            if step == self.steps:
                nearest.note(images + delta, ask(watched, images + delta, objective)[0])
                break
            gradient, hit, _ = nearest.descend(watched, images + delta, objective, half=half)
            size = 0.01 + 0.99 * (1 + math.cos(math.pi * step / self.steps)) / 2
            delta = delta - size * lp.ascent(gradient, "l2")
            length = length * torch.where(hit, 1 - self.gamma, 1 + self.gamma)
            delta = delta * lp.per_image(length / lp.norm(delta, "l2").clamp_min(lp.TINY))
            delta = (images + delta).clamp(0, 1) - images
        nearest.polish(watched, goal)
        if half:
            exact = replace(self, precision="float32", eps=None)
            nearest.prove(watched, goal, lambda rows: exact(watched[rows], images[rows], goal[rows], rng))
        return nearest.within(limit(self.eps, images, goal))


@dataclass(frozen=True)
class FMN:
    """Fast minimum-norm attack (Pintor et al. 2021, arXiv 2102.12827) for l0, l1, l2 and linf.

    The budget of each image shrinks by 1 - gamma where it is adversarial and grows where it is not, at first to the
    distance at which the linearised margin vanishes; a normalised gradient step is projected onto it. Step and gamma
    fall on a cosine. For l0 the budget is a number of pixels. `precision` as for DDN.
    """

    norm: Norm = "linf"
    steps: int = 100
    step_size: float = 1.0
    gamma: float = 0.05
    precision: Precision = field(default="auto", metadata=derived("bf16 where the processor has it, else float32"))
    eps: float | None = field(default=None, metadata=derived("none: the smallest perturbation, whatever its size"))

    name: ClassVar[str] = "fmn"
    kind: ClassVar[Kind] = "minimal"
    draws: ClassVar[bool] = False
    targetable: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_settings(self.name, eps=self.eps, norm=self.norm, at_least_one={"steps": self.steps})
        if not 0 < self.gamma < 1:
            raise BadInput(self.name, "gamma must lie in (0, 1)", self.gamma)
        if not self.step_size > 0:
            raise BadInput(self.name, "step_size must be positive", self.step_size)

    def used(self, device: torch.device) -> FMN:
        """The same attack with its precision written out."""
        return replace(self, precision=settled(self.precision, device))

    def __call__(self, model: Model, images: Images, goal: Goal, rng: Rng) -> Images:
        """The nearest adversarial image found, or the last iterate where none was; cut back to `eps` if given."""
        watched, nearest = watch(model, goal), Nearest.begin(images, self.norm)
        objective = Objective.of(goal, "margin")
        delta = torch.zeros_like(images)
        half = in_half(self.precision, images.device)
        start = 1.0 if self.norm == "l0" else float("inf")
        eps = torch.full((len(images),), start, device=images.device)
        for step in range(self.steps + 1):
            if step == self.steps:
                nearest.note(images + delta, ask(watched, images + delta, objective)[0])
                break
            gradient, hit, gap = nearest.descend(watched, images + delta, objective, half=half)
            share = (1 + math.cos(math.pi * step / self.steps)) / 2
            gamma = 0.001 + (self.gamma - 0.001) * share
            eps = self._budget(eps, delta, gradient, hit, gap, gamma=gamma, nearest=nearest)
            move = lp.ascent(gradient, "l2") * self.step_size * max(share, 0.01)
            delta = self._project(images, delta - move, eps)
        if self.norm != "l0":
            nearest.polish(watched, goal)
        if half:
            exact = replace(self, precision="float32", eps=None)
            nearest.prove(watched, goal, lambda rows: exact(watched[rows], images[rows], goal[rows], rng))
        return nearest.within(limit(self.eps, images, goal))

    def _budget(
        self, eps: PerImage, delta: Images, gradient: Images, hit: Tensor, gap: PerImage, *, gamma: float,
        nearest: Nearest,
    ) -> PerImage:  # fmt: skip
        """Each image's next budget; never above the best distance known."""
        size = lp.norm(delta, self.norm)
        best = nearest.distance
        if self.norm == "l0":
            fewer = torch.minimum(torch.minimum(eps - 1, (eps * (1 - gamma)).floor()), best)
            more = torch.maximum(eps + 1, (eps * (1 + gamma)).floor())
            return torch.where(hit, fewer, torch.minimum(more, best)).clamp(1, delta[0, 0].numel())
        found = best.isfinite()
        # the linear estimate ends on the boundary, not beyond it: a little more, or rounding decides
        linear = (size + gap.abs() / lp.norm(gradient, DUAL[self.norm]).clamp_min(lp.TINY)) * (1 + gamma)
        grown = torch.where(found, torch.minimum(eps * (1 + gamma), best), linear)
        return torch.where(hit, torch.minimum(eps, best) * (1 - gamma), grown)

    def _project(self, images: Images, delta: Images, eps: PerImage) -> Images:
        """The perturbation cut to the budget, then to the box."""
        if self.norm == "l0":
            delta = lp.keep_strongest((images + delta).clamp(0, 1) - images, eps)
        elif self.norm == "l1":
            delta = lp.project_l1(delta, eps)
        else:
            delta = lp.project(delta, eps, self.norm)
        return (images + delta).clamp(0, 1) - images


@dataclass(frozen=True)
class CW:
    """Carlini & Wagner's l2 attack (2017, arXiv 1608.04644).

    Adam on ||x - clean||^2 + c max(margin + confidence, 0) in the variable arctanh(2x - 1), with a binary search for
    c per image. A search ends early when a tenth of its steps brought no improvement.
    """

    steps: int = 1000
    searches: int = 6
    rate: float = 0.01
    weight: float = 0.01
    confidence: float = 0.0
    eps: float | None = field(default=None, metadata=derived("none: the smallest perturbation, whatever its size"))

    name: ClassVar[str] = "cw"
    kind: ClassVar[Kind] = "minimal"
    draws: ClassVar[bool] = False
    targetable: ClassVar[bool] = True
    norm: ClassVar[Literal["l2"]] = "l2"

    def __post_init__(self) -> None:
        counts = {"steps": self.steps, "searches": self.searches}
        check_settings(self.name, eps=self.eps, norm=self.norm, at_least_one=counts)
        if not (self.rate > 0 and self.weight > 0 and self.confidence >= 0):
            raise BadInput(self.name, "rate and weight must be positive, confidence >= 0", self)

    def __call__(self, model: Model, images: Images, goal: Goal, rng: Rng) -> Images:
        """The nearest adversarial image found, or the last iterate where none was; cut back to `eps` if given."""
        watched, nearest = watch(model, goal), Nearest.begin(images, "l2")
        low = torch.zeros(len(images), device=images.device)
        high = torch.full_like(low, float("inf"))
        weight = torch.full_like(low, self.weight)
        for _ in range(self.searches):
            found = self._search(watched, images, Objective.of(goal, "margin"), weight, nearest)
            high = torch.where(found, torch.minimum(high, weight), high)
            low = torch.where(found, low, torch.maximum(low, weight))
            weight = torch.where(high.isfinite(), (low + high) / 2, weight * 10)
        if self.confidence == 0:
            nearest.polish(watched, goal)
        return nearest.within(limit(self.eps, images, goal))

    def _search(
        self, model: Watched, clean: Images, objective: Objective, weight: PerImage, nearest: Nearest
    ) -> Tensor:
        """One Adam run; which images it broke. The results go to `nearest`."""
        inner = torch.atanh((2 * clean - 1) * 0.999999)
        first, second = torch.zeros_like(inner), torch.zeros_like(inner)
        found = torch.zeros(len(clean), dtype=torch.bool, device=clean.device)
        live = torch.arange(len(clean), device=clean.device)
        lowest = torch.full_like(weight, float("inf"))
        patience = max(self.steps // 10, 1)
        for step in range(1, self.steps + 1):
            inner = inner.detach().requires_grad_()
            with torch.enable_grad():
                x = (torch.tanh(inner) + 1) / 2
                logits = model(x)
                excess = (objective.loss(logits) + self.confidence).clamp_min(0)
                cost = (x - clean).square().flatten(1).sum(1) + weight * excess
                gradient = differentiate(cost, inner, model.card.name)
            hit = objective.reached(logits.detach()) & (excess.detach() <= 0)
            found[live] |= hit
            nearest.note(x.detach(), hit, live)
            first = 0.9 * first + 0.1 * gradient
            second = 0.999 * second + 0.001 * gradient.square()
            inner = inner.detach() - self.rate * (first / (1 - 0.9**step)) / (
                (second / (1 - 0.999**step)).sqrt() + 1e-8
            )
            if step % patience == 0:
                moving = cost.detach() < 0.9999 * lowest
                lowest = torch.minimum(lowest, cost.detach())[moving]
                live, inner, first, second = live[moving], inner[moving], first[moving], second[moving]
                clean, weight, objective, model = clean[moving], weight[moving], objective[moving], model[moving]
                if not len(live):
                    break
        return found
