"""Nearest: the smallest successful perturbation of each image so far."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pixelproof import lp
from pixelproof.attacks.watch import Watched
from pixelproof.types import Goal, Images, Mask, Norm, PerImage

BISECTIONS = 10


@dataclass(eq=False)
class Nearest:
    """Per image the nearest success, or the last iterate while there is none, and its distance (else infinite)."""

    clean: Images
    images: Images
    distance: PerImage
    norm: Norm

    @classmethod
    def begin(cls, clean: Images, norm: Norm) -> Nearest:
        """Nothing has succeeded yet."""
        return cls(clean, clean.clone(), torch.full((len(clean),), float("inf"), device=clean.device), norm)

    def note(self, images: Images, hit: Mask, rows: Tensor | None = None) -> None:
        """Take in one iterate of the images at `rows` (all of them when None)."""
        rows = torch.arange(len(self.clean), device=self.clean.device) if rows is None else rows
        size = lp.norm(images - self.clean[rows], self.norm)
        closer = hit & (size < self.distance[rows])
        self.distance[rows[closer]] = size[closer]
        fresh = closer | self.distance[rows].isinf()
        self.images[rows[fresh]] = images[fresh]

    def within(self, eps: float | None) -> Images:
        """The images; with a budget, those beyond it are cut back to it."""
        if eps is None:
            return self.images
        radius = torch.full_like(self.distance, eps)
        return (self.clean + lp.project(self.images - self.clean, radius, self.norm)).clamp(0, 1)

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
