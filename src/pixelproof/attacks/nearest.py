"""Nearest: the smallest successful perturbation of each image so far."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from pixelproof import lp
from pixelproof.attacks.gradient_pass import ask, confirm, look, steer
from pixelproof.attacks.objectives import Objective
from pixelproof.attacks.watch import Watched
from pixelproof.lp import Convex
from pixelproof.types import Goal, Images, Mask, Norm, PerImage

BISECTIONS = 10
PROJECTIONS, BEYOND = 4, 1.01


@dataclass(eq=False)
class Nearest:
    """Per image the nearest success, or the last iterate while there is none, and its distance (else infinite).

    `unproven`: a bfloat16 pass found it and no float32 pass has seen it yet; `prove` settles that in the end.
    """

    clean: Images
    images: Images
    distance: PerImage
    unproven: Mask
    norm: Norm

    @classmethod
    def begin(cls, clean: Images, norm: Norm) -> Nearest:
        """Nothing has succeeded yet."""
        distance = torch.full((len(clean),), float("inf"), device=clean.device)
        return cls(clean, clean.clone(), distance, torch.zeros_like(distance, dtype=torch.bool), norm)

    def descend(
        self, model: Watched, images: Images, objective: Objective, *, half: bool
    ) -> tuple[Images, Mask, PerImage]:
        """Gradient, whether the goal is reached, and loss at an iterate, which is taken in where it succeeds.

        With `half` a success that a bfloat16 pass claims is checked in float32 where it is the image's first, and where
        it would be the nearest and lies so close to the boundary that rounding may have decided. Others steer the
        search as they are; what of them is kept must still pass `prove`.
        """
        gradient, loss, _, hit, doubtful = steer(model, images, objective, half=half)
        checked = torch.ones_like(hit)
        if half:
            nearer = lp.norm(images - self.clean, self.norm) < self.distance
            checked = self.distance.isinf() | (doubtful & nearer)
            confirm(model, images, objective, hit, hit & checked)
        self.note(images, hit, proven=checked)
        return gradient, hit, loss

    def note(self, images: Images, hit: Mask, rows: Tensor | None = None, *, proven: Mask | None = None) -> None:
        """Take in one iterate of the images at `rows` (all of them when None); `proven` says which float32 has seen."""
        rows = torch.arange(len(self.clean), device=self.clean.device) if rows is None else rows
        size = lp.norm(images - self.clean[rows], self.norm)
        closer = hit & (size < self.distance[rows])
        self.distance[rows[closer]] = size[closer]
        self.unproven[rows[closer]] = False if proven is None else ~proven[closer]
        fresh = closer | self.distance[rows].isinf()
        self.images[rows[fresh]] = images[fresh]

    def within(self, eps: PerImage | None) -> Images:
        """The images; with budgets, those beyond theirs are cut back to it."""
        if eps is None:
            return self.images
        return (self.clean + lp.project(self.images - self.clean, eps, self.norm)).clamp(0, 1)

    def prove(self, model: Watched, goal: Goal, again: Callable[[Tensor], Images]) -> Nearest:
        """The same after a search in bfloat16: a float32 pass over what none has seen yet.

        Where it says no, and where nothing was found at all, `again(rows)` searches anew: on some networks bfloat16
        logits say nothing near the boundary.
        """
        rows = self.unproven.nonzero()[:, 0]
        with torch.no_grad():
            if len(rows):
                wrong = rows[~goal[rows].reached(model[rows](self.images[rows]))]
                self.distance[wrong] = float("inf")
            rows = self.distance.isinf().nonzero()[:, 0]
            if len(rows):
                images = again(rows)
                self.note(images, goal[rows].reached(model[rows](images)), rows)
        self.unproven[:] = False
        return self

    def straighten(self, model: Watched, objective: Objective, norm: Convex) -> Nearest:
        """The same after a few projections of the clean image onto the boundary as it looks at the nearest success.

        The last step of a projection method (Croce & Hein 2020, arXiv 1907.02044) for iterates that slide along the
        boundary too slowly to meet its nearest point; a candidate counts only where it succeeds and is nearer.
        """
        for _ in range(PROJECTIONS):
            gradient, gap, *_ = look(model, self.images, objective)
            at_clean = gap + (gradient * (self.clean - self.images)).flatten(1).sum(1)
            step = lp.onto_plane(self.clean, gradient, -at_clean, norm)
            tried = (self.clean + BEYOND * step).clamp(0, 1)
            self.note(tried, ask(model, tried, objective)[0] & self.distance.isfinite())
        return self

    def polish(self, model: Watched, goal: Goal) -> Nearest:
        """The same after a bisection, image by image, of the line from the clean image to its nearest success.

        Costs `BISECTIONS` forward passes and leaves what iterates with a finite step size overshoot.
        """
        best, low, high = self.images.clone(), torch.zeros_like(self.distance), torch.ones_like(self.distance)
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            tried = self.clean + lp.per_image(middle) * (best - self.clean)
            with torch.no_grad():
                hit = goal.reached(model(tried)) & self.distance.isfinite()
            self.note(tried, hit)
            low, high = torch.where(hit, low, middle), torch.where(hit, middle, high)
        return self
