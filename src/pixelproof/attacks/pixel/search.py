"""One-pixel search: the few positions that the gradient points at, then every position, in the extreme colours.

Su et al. 2017 (arXiv 1710.08864) posed the one-pixel attack and solved it by differential evolution. The space is only
positions x a colour cube, and at image level the corners of the cube decide (Croce & Hein 2019, arXiv 1909.05040, use
the same corners in CornerSearch), so a sweep of the corners is exhaustive, deterministic and far cheaper.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from pixelproof.attacks.attack import Model
from pixelproof.attacks.pixel.engine import Choice, Executor, Scene, executor
from pixelproof.attacks.pixel.margins import check_attack, colour_grid, margins, reached
from pixelproof.attacks.watch import unwatched
from pixelproof.draws import Rng
from pixelproof.errors import BadInput
from pixelproof.models import Classifier, frozen
from pixelproof.types import Goal, Images, Mask, Norm, PerImage


@dataclass(frozen=True, eq=False)
class PixelSearch:
    """What a one-pixel search found, per image.

    `already` marks images that fulfil the goal unchanged: they are reported and not attacked. `vulnerable` are the
    pixels at which some colour that was tried reaches the goal: the attackability map when `complete`, else only what
    was met on the way; `targets` are the classes that some candidate was predicted as (the clean prediction included).
    A position is row * width + column, -1 where nothing lowered the margin. `note` names the executor.
    """

    images: Images
    position: Int[Tensor, " n"]
    colour: Float[Tensor, "n ch"]
    margin: PerImage
    success: Mask
    already: Mask
    vulnerable: Bool[Tensor, "n h w"]
    targets: Bool[Tensor, "n k"]
    candidates: Int[Tensor, " n"]
    complete: Mask
    seconds: PerImage
    note: str


@dataclass(frozen=True)
class OnePixel:
    """One-pixel attack: `ranked` positions by gradient x corner colours, then all positions, then finer colours.

    `sweep` says when all positions are tried: "needed" (when the ranked ones fail), "always" (which gives the complete
    attackability map and every reachable target) or "never". `levels` > 2 adds, where the corners fail, the colours
    whose channels take that many values. `executor` as in `engine.executor`.
    """

    name: ClassVar[str] = "one-pixel"
    norm: ClassVar[Norm] = "l0"
    ranked: int = 32
    sweep: Literal["needed", "always", "never"] = "needed"
    levels: int = 2
    executor: Choice = "auto"

    def __post_init__(self) -> None:
        if self.ranked < 0 or (self.ranked == 0 and self.sweep == "never"):
            raise BadInput(self.name, "at least one position must be tried", self.ranked, "Use ranked >= 1, or sweep.")
        if not 2 <= self.levels <= 256:
            raise BadInput(self.name, "levels must lie in 2..256", self.levels, "2 tries the corners only.")

    @property
    def eps(self) -> float:
        """The budget: one pixel."""
        return 1.0

    def __call__(self, model: Model, images: Images, goal: Goal, rng: Rng) -> Images:
        """The best image found for each; the search is deterministic and draws nothing."""
        del rng
        return self.search(unwatched(model), images, goal).images

    def search(self, model: Classifier, images: Images, goal: Goal) -> PixelSearch:
        """Everything that the search finds out."""
        check_attack(self.name, model, images, goal)
        with frozen(model):
            order = ranking(model, images, goal)
            engine = executor(model, images[0], self.executor)
            found = [
                self._one(engine, images[row], int(goal.labels[row]), goal.targeted, order[row])
                for row in range(len(images))
            ]
            best = torch.stack([one.image for one in found])
            with torch.no_grad():
                judged = torch.cat([model(part) for part in torch.split(best, 64)])
        already = torch.tensor([one.already for one in found])
        return PixelSearch(
            best,
            torch.tensor([one.position for one in found]),
            torch.stack([one.colour for one in found]),
            torch.tensor([one.margin for one in found]),
            goal.reached(judged).cpu() & ~already,
            already,
            torch.stack([one.vulnerable for one in found]),
            torch.stack([one.targets for one in found]),
            torch.tensor([one.candidates for one in found]),
            torch.tensor([one.complete for one in found]),
            torch.tensor([one.seconds for one in found]),
            engine.note,
        )

    def _one(self, engine: Executor, image: Tensor, label: int, targeted: bool, order: Tensor) -> _Found:
        began = time.process_time()
        found = _Found(engine.focus(image), image, label, targeted)
        if found.already:
            return found
        everywhere = torch.arange(order.numel())
        corners = colour_grid(len(image), 2)
        ranked = order[: self.ranked].cpu()
        if self.sweep != "always" and len(ranked):
            found.attempt(ranked, corners)
        if self.sweep == "always" or (self.sweep == "needed" and not found.success):
            done = torch.zeros(len(everywhere), dtype=torch.bool)
            if self.sweep != "always":
                done[ranked] = True
            found.attempt(everywhere[~done], corners)
            found.complete = True
        if self.levels > 2 and (self.sweep == "always" or not found.success):
            found.attempt(ranked if self.sweep == "never" else everywhere, colour_grid(len(image), self.levels))
        found.seconds = time.process_time() - began
        return found


class _Found:
    """The running result for one image."""

    def __init__(self, scene: Scene, image: Tensor, label: int, targeted: bool) -> None:
        self.scene, self.clean, self.label, self.targeted = scene, image, label, targeted
        self.image = image
        logits = scene.clean.cpu()
        self.already = bool(reached(logits, label, targeted))
        self.success = self.already
        self.margin = float(margins(logits, label, targeted))
        self.position = -1
        self.colour = torch.zeros(len(image))
        self.vulnerable = torch.zeros(image.shape[1:], dtype=torch.bool)
        self.targets = torch.zeros(len(logits), dtype=torch.bool)
        self.targets[logits.argmax()] = True
        self.candidates = 0
        self.complete = False
        self.seconds = 0.0

    def attempt(self, positions: Tensor, colours: Tensor) -> None:
        """Try every colour at every position."""
        logits = self.scene.logits(positions, colours.expand(len(positions), -1, -1)).cpu()
        hit = reached(logits, self.label, self.targeted)
        value = margins(logits, self.label, self.targeted)
        self.vulnerable.view(-1)[positions] |= hit.any(1)
        self.targets[logits.argmax(-1).flatten()] = True
        self.candidates += hit.numel()
        self.success |= bool(hit.any())
        best = int(value.argmin()) if value.numel() else -1
        if best >= 0 and float(value.view(-1)[best]) < self.margin:
            self.margin = float(value.view(-1)[best])
            self.position = int(positions[best // len(colours)])
            self.colour = colours[best % len(colours)]
            self.image = changed(self.clean, self.position, self.colour)


def changed(image: Float[Tensor, "ch h w"], position: int, colour: Float[Tensor, " ch"]) -> Float[Tensor, "ch h w"]:
    """The image with one pixel set to a colour."""
    result = image.clone()
    result[:, position // image.shape[2], position % image.shape[2]] = colour.to(image)
    return result


def ranking(model: Classifier, images: Images, goal: Goal) -> Int[Tensor, "n p"]:
    """Positions of each image, the one whose best corner colour lowers the linearised margin most first."""
    parts = []
    for start in range(0, len(images), 64):
        batch = images[start : start + 64].clone().requires_grad_(True)
        labels = goal.labels[start : start + 64]
        with torch.enable_grad():
            logits = model(batch)
            own = logits.gather(1, labels[:, None])[:, 0]
            other = logits.masked_fill(torch.nn.functional.one_hot(labels, logits.shape[1]).bool(), -torch.inf).amax(1)
            margin = other - own if goal.targeted else own - other
            (gradient,) = torch.autograd.grad(margin.sum(), batch)
        with torch.no_grad():
            drop = torch.maximum(gradient * batch, gradient * (batch - 1)).sum(1).flatten(1)
            parts.append(drop.argsort(stable=True, dim=1, descending=True))
    return torch.cat(parts)
