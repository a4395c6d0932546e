"""JPEG as a preprocessor: what its quantisation throws away."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, pi, sqrt
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pixelproof.data import Dataset
from pixelproof.errors import BadInput
from pixelproof.models.classifier import Classifier
from pixelproof.models.preprocessors.preprocessor import Preprocessed, preprocessed, straight_through
from pixelproof.types import Images

LUMINANCE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)  # ITU-T T.81, Table K.1


@dataclass(frozen=True)
class Jpeg:
    """Images after JPEG's quantisation at `quality` 1..100 (Dziugaite et al. 2016, arXiv 1608.00853).

    The 8 x 8 cosine transform with the luminance table on every channel by itself: for grey images what a JPEG file
    does, for colour ones without its colour transform and subsampling. The gradient passes straight through.
    """

    quality: int = 75

    name: ClassVar[str] = "jpeg"

    def __post_init__(self) -> None:
        if not 1 <= self.quality <= 100:
            raise BadInput(self.name, "quality must lie in 1..100", self.quality)

    def around(self, model: Classifier) -> Classifier:
        """The classifier that sees compressed images."""
        return preprocessed(self, Preprocessed(Compression(self.quality), model), model)

    def __call__(self, model: Classifier, data: Dataset, rng: torch.Generator) -> Classifier:
        """The same, as a defence."""
        return self.around(model)


class Compression(nn.Module):
    """The cosine transform in blocks, quantised, and back."""

    steps: Tensor
    basis: Tensor

    def __init__(self, quality: int) -> None:
        super().__init__()
        scale = 5000 // quality if quality < 50 else 200 - 2 * quality
        steps = ((torch.tensor(LUMINANCE) * scale + 50) // 100).clamp(1, 255).float()
        rows = [[cos((2 * x + 1) * u * pi / 16) * (sqrt(1 / 8) if not u else 0.5) for x in range(8)] for u in range(8)]
        self.register_buffer("steps", steps, persistent=False)
        self.register_buffer("basis", torch.tensor(rows), persistent=False)

    def forward(self, images: Images) -> Images:
        """The images as they come back."""
        n, channels, height, width = images.shape
        padded = F.pad(images.detach(), (0, -width % 8, 0, -height % 8), mode="replicate")
        blocks = padded.mul(255).round().sub(128).unfold(2, 8, 8).unfold(3, 8, 8)
        levels = (self.basis @ blocks @ self.basis.T / self.steps).round() * self.steps
        back = (self.basis.T @ levels @ self.basis + 128).round().clamp(0, 255) / 255
        whole = back.permute(0, 1, 2, 4, 3, 5).reshape(n, channels, *padded.shape[2:])
        return straight_through(images, whole[:, :, :height, :width])
