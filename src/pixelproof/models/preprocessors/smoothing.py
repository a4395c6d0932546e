"""Preprocessors that smooth: more where the image is flat, or by total variation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import nn

from pixelproof.data import Dataset
from pixelproof.errors import BadInput
from pixelproof.models.classifier import Classifier
from pixelproof.models.preprocessors.preprocessor import Preprocessed, preprocessed, straight_through
from pixelproof.types import Images

WINDOW = 3
STEP = 0.25  # of the dual ascent; up to 1/4 it converges (Chambolle 2004)


@dataclass(frozen=True)
class AdaptiveSmoothing:
    """Each pixel drawn towards the mean of its 3 x 3 neighbours, more where they vary less (Lee 1980).

    m + v / (v + noise^2) (x - m) with the local mean m and variance v: flat parts are smoothed, edges are kept. Lee's
    filter stands for the "adaptive smoothing" that paper 2 names. It has a gradient of its own.
    """

    noise: float = 0.1

    name: ClassVar[str] = "smooth"

    def __post_init__(self) -> None:
        if not self.noise > 0:
            raise BadInput(self.name, "noise must be positive", self.noise, "It is a standard deviation in [0, 1].")

    def around(self, model: Classifier) -> Classifier:
        """The classifier that sees smoothed images."""
        return preprocessed(self, Preprocessed(Local(self.noise), model), model)

    def __call__(self, model: Classifier, data: Dataset, rng: torch.Generator) -> Classifier:
        """The same, as a defence."""
        return self.around(model)


@dataclass(frozen=True)
class TotalVariation:
    """The image z with the least |z - x|^2 / 2 + weight TV(z) (Guo et al. 2018, arXiv 1711.00117).

    Found by `steps` steps of Chambolle's dual ascent (2004), without autograd; the gradient passes straight through.
    """

    weight: float = 0.1
    steps: int = 20

    name: ClassVar[str] = "tv"

    def __post_init__(self) -> None:
        if not self.weight > 0 or self.steps < 1:
            raise BadInput(self.name, "weight must be positive and steps at least 1", f"{self.weight}, {self.steps}")

    def around(self, model: Classifier) -> Classifier:
        """The classifier that sees smoothed images."""
        return preprocessed(self, Preprocessed(Variation(self.weight, self.steps), model), model)

    def __call__(self, model: Classifier, data: Dataset, rng: torch.Generator) -> Classifier:
        """The same, as a defence."""
        return self.around(model)


class Local(nn.Module):
    """Lee's filter."""

    def __init__(self, noise: float) -> None:
        super().__init__()
        self.noise = noise

    def forward(self, images: Images) -> Images:
        """Smoothed images, in [0, 1]."""
        padded = F.pad(images, (1, 1, 1, 1), mode="replicate")
        mean = F.avg_pool2d(padded, WINDOW, stride=1)
        variance = (F.avg_pool2d(padded**2, WINDOW, stride=1) - mean**2).clamp_min(0)
        smooth = mean + variance / (variance + self.noise**2) * (images - mean)
        return smooth.clamp(0, 1)  # a convex combination: only rounding leaves the range


class Variation(nn.Module):
    """Rudin, Osher and Fatemi's denoising by Chambolle's projection."""

    def __init__(self, weight: float, steps: int) -> None:
        super().__init__()
        self.weight, self.steps = weight, steps

    def forward(self, images: Images) -> Images:
        """Smoothed images, in [0, 1]."""
        with torch.no_grad():
            image = images.detach()
            dual = image.new_zeros(2, *image.shape)
            for _ in range(self.steps):
                slope = gradient(divergence(dual) - image / self.weight)
                dual = (dual + STEP * slope) / (1 + STEP * slope.norm(dim=0, keepdim=True))
            smooth = (image - self.weight * divergence(dual)).clamp(0, 1)
        return straight_through(images, smooth)


def gradient(images: torch.Tensor) -> torch.Tensor:
    """Forward differences down and across (2, n, c, h, w), zero at the far edges."""
    down = F.pad(images[:, :, 1:] - images[:, :, :-1], (0, 0, 0, 1))
    across = F.pad(images[:, :, :, 1:] - images[:, :, :, :-1], (0, 1))
    return torch.stack([down, across])


def divergence(field: torch.Tensor) -> torch.Tensor:
    """The negative transpose of `gradient`."""
    down, across = field
    vertical = F.pad(down[:, :, :-1], (0, 0, 0, 1)) - F.pad(down[:, :, :-1], (0, 0, 1, 0))
    horizontal = F.pad(across[:, :, :, :-1], (0, 1)) - F.pad(across[:, :, :, :-1], (1, 0))
    return vertical + horizontal
