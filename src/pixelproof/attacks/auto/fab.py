"""FAB: the smallest perturbation by stepping onto linearised boundaries, pulled back towards the clean image."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch

from pixelproof import lp
from pixelproof.attacks.attack import Kind, Model, check_settings, limit
from pixelproof.attacks.gradient_pass import differentiate
from pixelproof.attacks.objectives import Objective
from pixelproof.attacks.restarts import objectives_for
from pixelproof.attacks.watch import Watched, watch
from pixelproof.draws import Draws, Rng
from pixelproof.lp import Convex
from pixelproof.specs import derived
from pixelproof.types import Goal, Images, PerImage

OVERSHOOT = 1.05  # eta: how far past the linearised boundary to go
BIAS = 0.1  # alpha_max: the largest weight of the projection made from the clean image
BACKWARD = 0.9  # beta: what remains of a perturbation that succeeded


@dataclass(frozen=True)
class FAB:
    """Fast adaptive boundary attack, targeted version (Croce & Hein 2020, arXiv 1907.02044): FAB-T.

    Per step and rival class the iterate and the clean image are both projected onto the linearised boundary inside
    the box; their mixture, overshot by 1.05, is the next iterate, and each success is pulled back to 0.9 of its size.
    One run per each of the `targets` strongest rivals, `first` to skip some. With `eps` an image leaves as soon as it
    succeeds inside the budget, and a larger perturbation is cut back to it; without, the smallest one is returned.
    """

    steps: int = 100
    targets: int = 9
    first: int = 0
    restarts: int = 1
    norm: Convex = "linf"
    eps: float | None = field(default=None, metadata=derived("none: the smallest perturbation, whatever its size"))

    name: ClassVar[str] = "fab"
    kind: ClassVar[Kind] = "minimal"
    draws: ClassVar[bool] = True
    targetable: ClassVar[bool] = True

    def __post_init__(self) -> None:
        counts = {"steps": self.steps, "targets": self.targets, "restarts": self.restarts}
        check_settings(self.name, eps=self.eps, norm=self.norm, at_least_one={**counts, "first + 1": self.first + 1})

    def __call__(self, model: Model, images: Images, goal: Goal, rng: Rng) -> Images:
        """The nearest adversarial image found, or the last iterate where none was."""
        watched, draws = watch(model, goal), Draws.of(rng, len(images))
        nearest = torch.full((len(images),), float("inf"), device=images.device)
        best = images.clone()
        objectives = objectives_for(
            model, images, goal, kind="margin", targets=self.targets, restarts=self.restarts, first=self.first
        )
        rows, eps = torch.arange(len(images), device=images.device), limit(self.eps, images, goal)
        for position, objective in enumerate(objectives):
            start = images[rows]
            if position * self.restarts >= len(objectives):  # later restarts begin away from the image
                radius = torch.full_like(nearest, 0.5) if eps is None else eps
                radius = torch.where(nearest.isfinite(), nearest, radius)[rows] / 2
                start = self._scatter(images[rows], radius, draws[rows.cpu()])
            found, distance = self._run(watched[rows], images[rows], objective[rows], start)
            closer = (distance < nearest[rows]) | ((position == 0) & torch.isinf(nearest[rows]))
            best[rows[closer]], nearest[rows[closer]] = found[closer], distance[closer]
            if eps is not None:
                rows = rows[nearest[rows] > eps[rows]]
            if not len(rows):
                break
        return best if eps is None else lp.confine(images, best, eps, self.norm)

    def _scatter(self, clean: Images, radius: PerImage, draws: Draws) -> Images:
        """A random start so far away: half as far as the best point so far, or as the budget."""
        noise = lp.random_start(draws, tuple(clean.shape[1:]), torch.ones_like(radius), "linf")
        size = lp.norm(noise, self.norm).clamp_min(lp.TINY)
        return lp.confine(clean, clean + noise * lp.per_image(radius / size), radius, self.norm)

    def _run(self, model: Watched, clean: Images, goal: Objective, start: Images) -> tuple[Images, PerImage]:
        """Per image the nearest adversarial iterate, or the last, and its distance (infinite where none was)."""
        result, nearest = start.clone(), torch.full((len(clean),), float("inf"), device=clean.device)
        live, x = torch.arange(len(clean), device=clean.device), start
        eps = limit(self.eps, clean, goal)
        for step in range(self.steps + 1):
            last = step == self.steps
            x = x.detach().requires_grad_(not last)
            with torch.set_grad_enabled(not last):
                logits = model(x)
                gap = goal.loss(logits)
                gradient = x if last else differentiate(gap, x, model.card.name)
            x, gap = x.detach(), gap.detach()
            distance = lp.norm(x - clean, self.norm)
            hit = goal.reached(logits.detach())
            closer = hit & (distance < nearest[live])
            result[live[closer]], nearest[live[closer]] = x[closer], distance[closer]
            if last:
                break
            x = torch.where(lp.per_image(hit), clean + BACKWARD * (x - clean), x)
            gap = torch.where(hit, self._gap_at(gap, gradient, clean, x), gap)
            if eps is not None and (nearest[live] <= eps[live]).any():
                stay = nearest[live] > eps[live]
                live, x, clean, gradient = live[stay], x[stay], clean[stay], gradient[stay]
                goal, model, gap = goal[stay], model[stay], gap[stay]
                if not len(live):
                    break
            x = self._step(clean, x, gradient, gap)
        failed = torch.isinf(nearest[live])
        result[live[failed]] = x[failed]
        return result, nearest

    def _gap_at(self, gap: PerImage, gradient: Images, clean: Images, x: Images) -> PerImage:
        """The linearised gap at `x`, the point a success was pulled back to."""
        beyond = (x - clean) / BACKWARD  # the success minus the clean image
        return gap - (gradient * beyond).flatten(1).sum(1) * (1 - BACKWARD)

    def _step(self, clean: Images, x: Images, gradient: Images, gap: PerImage) -> Images:
        """The mixture of both projections onto the boundary where the linearised gap is zero."""
        from_x = lp.onto_plane(x, gradient, -gap, self.norm)
        at_clean = gap + (gradient * (clean - x)).flatten(1).sum(1)
        from_clean = lp.onto_plane(clean, gradient, -at_clean, self.norm)
        near, far = lp.norm(from_x, self.norm), lp.norm(from_clean, self.norm)
        weight = lp.per_image((near / (near + far).clamp_min(lp.TINY)).clamp(0, BIAS))
        mixed = (1 - weight) * (x + OVERSHOOT * from_x) + weight * (clean + OVERSHOOT * from_clean)
        return mixed.clamp(0, 1)
