"""DeepFool: the nearest decision boundary of the linearised network, again and again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from pixelproof import lp
from pixelproof.attacks.attack import Model, budget, check_settings
from pixelproof.attacks.watch import Watched, watch
from pixelproof.draws import Rng
from pixelproof.errors import BadInput
from pixelproof.lp import Ball
from pixelproof.types import Goal, Images, PerImage

TINY = 1e-8
PUSH = 1e-4  # added to every distance so that a step does not end exactly on the boundary


@dataclass(frozen=True)
class DeepFool:
    """The smallest perturbation that changes the label (Moosavi-Dezfooli et al. 2016, arXiv 1511.04599).

    Per step, with f_k = z_k - z_y over the `candidates` strongest classes of the clean image, move by
    |f_k| / ||grad f_k||_q towards the nearest k; the total is stretched by 1 + overshoot. Images that are fooled
    leave at once, so a step costs one forward and candidates - 1 backward passes on the others only. With `eps`, the
    perturbation found is cut back to that budget and judged there, as foolbox does and paper 1 reports.
    """

    steps: int = 50
    overshoot: float = 0.02
    candidates: int = 10
    norm: Ball = "linf"
    eps: float | None = None

    name: ClassVar[str] = "deepfool"

    def __post_init__(self) -> None:
        check_settings(self.name, eps=self.eps, at_least_one={"steps": self.steps})
        if self.candidates < 2:
            raise BadInput(self.name, "candidates must be at least 2", self.candidates)
        if not self.overshoot >= 0:
            raise BadInput(self.name, "overshoot must be >= 0", self.overshoot)

    def __call__(self, model: Model, images: Images, goal: Goal, rng: Rng) -> Images:
        """The nearest adversarial image found, or the last iterate where none was."""
        if goal.targeted:
            raise BadInput(self.name, "is untargeted", "targets", "Use pgd for targeted attacks.")
        found = self._search(watch(model, goal), images, goal)
        if self.eps is None:
            return found
        return (images + lp.project(found - images, budget(self.eps, images), self.norm)).clamp(0, 1)

    def _search(self, model: Watched, images: Images, goal: Goal) -> Images:
        result = images.clone()
        live = torch.arange(len(images), device=images.device)
        x, clean, total, rivals = images, images, torch.zeros_like(images), None
        for _ in range(self.steps):
            x, logits = _forward(model, x)
            fooled = goal.reached(logits.detach())
            if rivals is None:
                rivals = self._rivals(logits.detach(), goal)
            if fooled.any():
                result[live[fooled]] = x.detach()[fooled]
                if fooled.all():
                    return result
                stay = ~fooled
                live, clean, total, rivals, goal = live[stay], clean[stay], total[stay], rivals[stay], goal[stay]
                model = model[stay]
                x, logits = _forward(model, x[stay])  # one more forward is cheaper than backwards for who has left
            total = total + self._step(x, logits, goal, rivals)
            x = (clean + (1 + self.overshoot) * total).clamp(0, 1)
        result[live] = x
        return result

    def _rivals(self, logits: Tensor, goal: Goal) -> Tensor:
        """The strongest classes other than the true one, (n, candidates - 1)."""
        others = logits.scatter(1, goal.labels[:, None], float("-inf"))
        return others.topk(min(self.candidates, logits.shape[1]) - 1, dim=1).indices

    def _step(self, x: Tensor, logits: Tensor, goal: Goal, rivals: Tensor) -> Images:
        """The shortest move over all rivals' linearised boundaries."""
        rows = torch.arange(len(x), device=x.device)
        gaps = logits.gather(1, rivals) - logits[rows, goal.labels][:, None]
        nearest: PerImage = torch.full((len(x),), float("inf"), device=x.device)
        move = torch.zeros_like(x)
        for k in range(rivals.shape[1]):
            last = k == rivals.shape[1] - 1
            gradient = torch.autograd.grad(gaps[:, k].sum(), x, retain_graph=not last)[0]
            size = lp.norm(gradient, "l1" if self.norm == "linf" else "l2")
            distance = gaps[:, k].detach().abs() / (size + TINY)
            unit = gradient.sign() if self.norm == "linf" else gradient / lp.per_image(size + TINY)
            closer = distance < nearest
            nearest = torch.where(closer, distance, nearest)
            move = torch.where(lp.per_image(closer), lp.per_image(distance + PUSH) * unit, move)
        return move


def _forward(model: Watched, x: Images) -> tuple[Images, Tensor]:
    """The images as a leaf that wants a gradient, and their logits."""
    x = x.detach().requires_grad_()
    with torch.enable_grad():
        return x, model(x)
