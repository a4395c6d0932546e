"""An attack that may touch only the k most critical pixels of each image, and steps that keep to any pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Bool
from torch import Tensor

from pixelproof import lp
from pixelproof.attacks.attack import Kind, Model, budget, check_settings
from pixelproof.attacks.gradient import step
from pixelproof.attacks.gradient_pass import look
from pixelproof.attacks.projected import ProjectedSteps
from pixelproof.attacks.watch import Watched, watch
from pixelproof.draws import Rng
from pixelproof.errors import BadInput
from pixelproof.types import Goal, Heatmaps, Images

POINTS = 5  # where the change of the loss is measured between the clean and the attacked image
STEP = 2.0  # eps / steps times this is one step, as in BIM


@dataclass(frozen=True)
class Critical:
    """BIM confined to the `k` pixels (positions, all channels) that carry most of an unconfined BIM's effect.

    What each pixel carries is its share of the change of the loss on the straight way from the clean to the attacked
    image, that is integrated gradients (Sundararajan et al. 2017, arXiv 1703.01365) with the clean image as the
    baseline: paper 1's detection ranking, made without an explainer. Attack any other pixels with `confined`.
    """

    eps: float
    k: int = 50
    steps: int = 20

    name: ClassVar[str] = "critical"
    kind: ClassVar[Kind] = "budget"
    draws: ClassVar[bool] = False
    targetable: ClassVar[bool] = True
    norm: ClassVar[Literal["linf"]] = "linf"

    def __post_init__(self) -> None:
        check_settings(self.name, eps=self.eps, norm=self.norm, at_least_one={"k": self.k, "steps": self.steps})

    def __call__(self, model: Model, images: Images, goal: Goal, rng: Rng) -> Images:
        """Images that differ from the clean ones in at most k positions; BadInput when the image has fewer."""
        pixels = images[0, 0].numel()
        if self.k > pixels:
            raise BadInput(self.name, f"k must lie in 1..{pixels}, the pixels of an image", self.k)
        watched, eps = watch(model, goal), budget(self.eps, images, goal)
        steps = ProjectedSteps(self.steps, eps, step(None, eps, STEP / self.steps), "linf")
        attacked = steps(watched, images, goal, images)[0]
        carried = contributions(watched, images, attacked, goal).sum(1).flatten(1)
        chosen = torch.zeros_like(carried, dtype=torch.bool)
        chosen.scatter_(1, carried.argsort(dim=1, stable=True)[:, : self.k], True)
        return confined(watched, images, goal, chosen.view(-1, *images.shape[2:]), eps=self.eps, steps=self.steps)


def contributions(model: Watched, clean: Images, attacked: Images, goal: Goal) -> Heatmaps:
    """What each value adds to the goal loss between the two images; their sum is its change, up to the midpoint rule.

    Negative values helped the attacker.
    """
    change = attacked - clean
    total = torch.zeros_like(clean)
    for point in range(POINTS):
        total += look(model, clean + (point + 0.5) / POINTS * change, goal).gradient
    return change * total / POINTS


def confined(
    model: Model, images: Images, goal: Goal, pixels: Bool[Tensor, "n h w"], *, eps: float, steps: int = 20
) -> Images:
    """BIM (linf) that changes only the given pixels of each image; it stops at the first image that reaches the goal.

    Where it fails, the last iterate is returned.
    """
    watched, x = watch(model, goal), images.clone()
    live = torch.arange(len(images), device=images.device)
    radius, mask = budget(eps, images, goal), pixels[:, None].to(images.device)
    for _ in range(steps):
        seen = look(watched[live], x[live], goal[live])
        live, gradient = live[~seen.hit], seen.gradient[~seen.hit]
        if not len(live):
            break
        moved = x[live] - STEP / steps * lp.per_image(radius[live]) * lp.ascent(gradient, "linf") * mask[live]
        inside = lp.project(moved - images[live], radius[live], "linf")
        x[live] = (images[live] + inside).clamp(0, 1)
    return x
