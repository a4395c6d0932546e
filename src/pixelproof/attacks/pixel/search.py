"""One-pixel search: the few positions that the gradient points at, then every position, in the extreme colours.

Su et al. 2017 (arXiv 1710.08864) posed the one-pixel attack and solved it by differential evolution. The space is only
positions x a colour cube, and at image level the corners of the cube decide (Croce & Hein 2019, arXiv 1909.05040, use
the same corners in CornerSearch), so a sweep of the corners is exhaustive, deterministic and far cheaper.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from pixelproof.attacks.attack import Kind, Model
from pixelproof.attacks.pixel.engine import Choice, Executor, executor
from pixelproof.attacks.pixel.found import PixelFinding, changed
from pixelproof.attacks.pixel.margins import check_attack, colour_grid
from pixelproof.attacks.watch import watch
from pixelproof.draws import Rng
from pixelproof.errors import BadInput
from pixelproof.models import Classifier, frozen
from pixelproof.specs import derived
from pixelproof.types import Goal, Images, Labels, Mask, Norm, PerImage

UNGRADED = "no gradient: pixels furthest from a corner colour first"
MOST_COLOURS = 2**20  # of finer colours at one pixel: what memory holds
BEFORE = 2  # passes on the clean image before the first candidate: one for the ranking, one for the activations


@dataclass(frozen=True, eq=False)
class PerTarget:
    """For every image and class, the candidate that comes closest to being taken for the class."""

    margin: Float[Tensor, "n k"]
    position: Int[Tensor, "n k"]
    colour: Float[Tensor, "n k ch"]

    def images(self, clean: Images, targets: Labels) -> Images:
        """The clean images with the pixel changed that comes closest to each one's target."""
        rows = zip(clean, self.position.tolist(), self.colour, targets.tolist(), strict=True)
        return torch.stack([changed(image, place[k], colour[k]) for image, place, colour, k in rows])


@dataclass(frozen=True, eq=False)
class PixelSearch:
    """What a one-pixel search found, per image.

    `already` marks images that fulfil the goal unchanged: they are reported and not attacked. `vulnerable` are the
    pixels at which some colour that was tried reaches the goal: the attackability map when `complete`, else only what
    was met on the way; `targets` are the classes that some candidate was predicted as (the clean prediction included).
    A position is row * width + column, -1 where nothing lowered the margin. `note` names the executor; `graded` says
    whether the network has a gradient to order positions by.
    """

    images: Images
    position: Int[Tensor, " n"]
    colour: Float[Tensor, "n ch"]
    margin: PerImage
    success: Mask
    already: Mask
    vulnerable: Bool[Tensor, "n h w"]
    targets: Bool[Tensor, "n k"]
    per_target: PerTarget
    candidates: Int[Tensor, " n"]
    first: Int[Tensor, " n"]
    complete: Mask
    seconds: PerImage
    note: str
    graded: bool


@dataclass(frozen=True)
class OnePixel:
    """One-pixel attack: `ranked` positions by gradient x corner colours, then all positions, then finer colours.

    `sweep` says when all positions are tried: "needed" (when the ranked ones fail), "always" (which gives the complete
    attackability map and every reachable target) or "never". `levels` > 2 adds, where the corners fail, the colours
    whose channels take that many values. `executor` as in `engine.executor`.
    """

    name: ClassVar[str] = "one-pixel"
    kind: ClassVar[Kind] = "fixed"
    draws: ClassVar[bool] = False
    targetable: ClassVar[bool] = True
    norm: ClassVar[Norm] = "l0"
    ranked: int = 32
    sweep: Literal["needed", "always", "never"] = "needed"
    levels: int = 2
    executor: Choice = field(default="auto", metadata=derived("incremental where the network can be read, else full"))

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
        """The best image found for each; the search is deterministic and draws nothing.

        Every candidate counts as one forward pass, also where incremental evaluation costs a fraction of one.
        """
        del rng
        watched = watch(model, goal)
        found = self.search(watched.classifier, images, goal)
        first = torch.where(found.first < 0, -1, found.first + BEFORE)
        backwards = torch.full_like(found.candidates, int(found.graded))
        watched.spent(found.candidates + BEFORE + 1, backwards, first)
        return found.images

    def search(
        self, model: Classifier, images: Images, goal: Goal, *, progress: Callable[[int, int], None] | None = None
    ) -> PixelSearch:
        """Everything that the search finds out; `progress` is told (images done, images in all)."""
        check_attack(self.name, model, images, goal)
        if self.levels ** images.shape[1] > MOST_COLOURS:
            expected = f"at most {MOST_COLOURS} colours can be tried at a pixel"
            raise BadInput(self.name, expected, f"{self.levels} levels in {images.shape[1]} channels", "Lower levels.")
        with frozen(model):
            order, graded = ranking(model, images, goal)
            engine = executor(model, images[0], self.executor)
            found = []
            for row in range(len(images)):
                found.append(self._one(engine, images[row], int(goal.labels[row]), goal.targeted, order[row]))
                if progress:
                    progress(row + 1, len(images))
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
            PerTarget(*(torch.stack([one.per_target[part] for one in found]) for part in range(3))),
            torch.tensor([one.candidates for one in found]),
            torch.tensor([one.first for one in found]),
            torch.tensor([one.complete for one in found]),
            torch.tensor([one.seconds for one in found]),
            engine.note if graded else f"{engine.note}; {UNGRADED}",
            graded,
        )

    def _one(self, engine: Executor, image: Tensor, label: int, targeted: bool, order: Tensor) -> PixelFinding:
        began = time.process_time()
        found = PixelFinding(engine.focus(image), image, label, targeted)
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


def ranking(model: Classifier, images: Images, goal: Goal) -> tuple[Int[Tensor, "n p"], bool]:
    """Positions of each image, the one whose best corner colour lowers the linearised margin most first.

    Where the network has no gradient, the pixel that a corner colour changes most comes first; the second value says
    which it was. An entry of the gradient that is not finite counts as 0.
    """
    parts, graded = [], True
    for start in range(0, len(images), 64):
        batch = images[start : start + 64]
        gradient = _gradient(model, batch, goal[start : start + 64])
        graded &= gradient is not None
        if gradient is None:
            drop = torch.maximum(batch, 1 - batch).sum(1).flatten(1)
        else:
            gradient = gradient.nan_to_num(0.0, 0.0, 0.0)
            drop = torch.maximum(gradient * batch, gradient * (batch - 1)).sum(1).flatten(1)
        parts.append(drop.argsort(stable=True, dim=1, descending=True))
    return torch.cat(parts), graded


def _gradient(model: Classifier, images: Images, goal: Goal) -> Images | None:
    """The gradient of each image's margin; None for a network that has none."""
    batch = images.clone().requires_grad_(True)
    with torch.enable_grad():
        try:
            logits = model(batch)
            own = logits.gather(1, goal.labels[:, None])[:, 0]
            label = torch.nn.functional.one_hot(goal.labels, logits.shape[1]).bool()
            other = logits.masked_fill(label, -torch.inf).amax(1)
            margin = other - own if goal.targeted else own - other
            (gradient,) = torch.autograd.grad(margin.sum(), batch)
        except RuntimeError:  # grey levels looked up, numpy inside, quantised weights: each says it in its own words
            return None
    return gradient
