"""DeepFool: the nearest decision boundary of the linearised network, again and again."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from pixelproof import lp
from pixelproof.attacks.attack import Kind, Model, check_settings, limit
from pixelproof.attacks.gradient_pass import differentiate
from pixelproof.attacks.rows import Rows
from pixelproof.attacks.watch import Watched, watch
from pixelproof.draws import Rng
from pixelproof.errors import BadInput
from pixelproof.lp import Ball
from pixelproof.specs import derived
from pixelproof.types import Goal, Images, Logits, Norm

TINY = 1e-8
PUSH = 1e-4  # added to every distance so that a step does not end exactly on the boundary
GROWTH = 2.0  # how much longer a rival's gradient may have become since it was last taken


@dataclass(frozen=True)
class DeepFool:
    """The smallest perturbation that changes the label (Moosavi-Dezfooli et al. 2016, arXiv 1511.04599).

    Per step, with f_k = z_k - z_y over the `candidates` strongest classes of the clean image, move by
    |f_k| / ||grad f_k||_q towards the nearest k; the total is stretched by 1 + overshoot. Images that are fooled
    leave at once, and a rival that cannot be the nearest costs no gradient. With `eps`, the perturbation found is cut
    back to that budget and judged there, as foolbox does and paper 1 reports.
    """

    steps: int = 50
    overshoot: float = 0.02
    candidates: int = 10
    norm: Ball = "linf"
    eps: float | None = field(default=None, metadata=derived("none: the smallest perturbation, whatever its size"))

    name: ClassVar[str] = "deepfool"
    kind: ClassVar[Kind] = "minimal"
    draws: ClassVar[bool] = False
    targetable: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_settings(self.name, eps=self.eps, norm=self.norm, at_least_one={"steps": self.steps})
        if self.candidates < 2:
            raise BadInput(self.name, "candidates must be at least 2", self.candidates)
        if not self.overshoot >= 0:
            raise BadInput(self.name, "overshoot must be >= 0", self.overshoot)

    def __call__(self, model: Model, images: Images, goal: Goal, rng: Rng) -> Images:
        """The nearest adversarial image found, or the last iterate where none was."""
        if goal.targeted:
            raise BadInput(self.name, "is untargeted", "targets", "Use pgd for targeted attacks.")
        found = self._search(watch(model, goal), images, goal)
        eps = limit(self.eps, images, goal)
        if eps is None:
            return found
        return (images + lp.project(found - images, eps, self.norm)).clamp(0, 1)

    def _search(self, model: Watched, images: Images, goal: Goal) -> Images:
        result, at = images.clone(), torch.arange(len(images), device=images.device)
        logits = _logits(model, images)
        rivals = self._rivals(logits, goal)
        sizes = torch.full(rivals.shape, float("inf"), device=images.device)
        state = DeepFoolState(at, model, goal, images, images, torch.zeros_like(images), rivals, sizes)
        for _ in range(self.steps):
            state = state[~state.goal.reached(logits)]
            if not len(state.at):
                break
            for part in state.model.parts():
                here = state[part]
                nearest = NearestBoundary(self.norm, here.x, here.goal, here.rivals, here.sizes)
                state.total[part] += nearest.search(here.model)
                state.sizes[part] = nearest.sizes
            state.x = (state.clean + (1 + self.overshoot) * state.total).clamp(0, 1)
            result[state.at] = state.x
            logits = _logits(state.model, state.x)
        return result

    def _rivals(self, logits: Tensor, goal: Goal) -> Tensor:
        """The strongest classes other than the true one, (n, candidates - 1)."""
        others = logits.scatter(1, goal.labels[:, None], float("-inf"))
        return others.topk(min(self.candidates, logits.shape[1]) - 1, dim=1).indices


@dataclass
class DeepFoolState(Rows):
    """Where each image's search stands: the sum of its moves, its rival classes, and their gradients' lengths."""

    at: Tensor
    model: Watched
    goal: Goal
    clean: Images
    x: Images
    total: Images
    rivals: Tensor
    sizes: Tensor


class NearestBoundary:
    """The shortest move over all rivals' linearised boundaries, with as few gradients as possible.

    `sizes` are the gradients' lengths at the last step (infinite before the first). Rivals are tried in the order of
    the distance these predict, and one is left out when its boundary would be farther than the nearest found even if
    its gradient had grown by GROWTH since: on the first step nothing is left out.
    """

    def __init__(self, norm: Ball, x: Images, goal: Goal, rivals: Tensor, sizes: Tensor) -> None:
        self.dual: Norm = "l1" if norm == "linf" else "l2"
        self.norm, self.x, self.goal = norm, x, goal
        self.rivals, self.sizes = rivals, sizes.clone()
        self.distance = torch.full((len(x),), float("inf"), device=x.device)
        self.move = torch.zeros_like(x)

    def search(self, model: Watched) -> Images:
        """The move of each image."""
        rows = torch.arange(len(self.x), device=self.x.device)
        x, gaps = self._gaps(model, rows)
        bound = gaps.detach().abs() / (GROWTH * self.sizes)
        order = bound.argsort(dim=1, stable=True)
        for rank in range(order.shape[1]):
            places = order[rows, rank]
            needed = bound[rows, places] < self.distance[rows]
            if not needed.any():
                break
            if 2 * needed.sum() <= len(rows):
                rows, places = rows[needed], places[needed]
                x, gaps = self._gaps(model, rows)
            self._try(model.card.name, x, gaps[torch.arange(len(rows), device=x.device), places], rows, places)
        return self.move

    def _gaps(self, model: Watched, rows: Tensor) -> tuple[Images, Tensor]:
        """The images as a leaf that wants a gradient, and how far each rival is ahead of the true class."""
        x = self.x[rows].detach().requires_grad_()
        with torch.enable_grad():
            logits = model[rows](x)
            return x, logits.gather(1, self.rivals[rows]) - logits.gather(1, self.goal[rows].labels[:, None])

    def _try(self, who: str, x: Images, gap: Tensor, rows: Tensor, places: Tensor) -> None:
        gradient = differentiate(gap, x, who, again=True)
        size = lp.norm(gradient, self.dual)
        distance = gap.detach().abs() / (size + TINY)
        unit = gradient.sign() if self.norm == "linf" else gradient / lp.per_image(size + TINY)
        closer = distance < self.distance[rows]
        self.sizes[rows, places] = size
        self.distance[rows] = torch.where(closer, distance, self.distance[rows])
        self.move[rows[closer]] = (lp.per_image(distance + PUSH) * unit)[closer]


def _logits(model: Watched, x: Images) -> Logits:
    with torch.no_grad():
        return model(x)
