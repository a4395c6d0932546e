"""Does an autoencoder of clean images give the image, and the answer, back? (Meng & Chen 2017)"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from pixelproof.attacks import AdversarialSet
from pixelproof.data import Dataset
from pixelproof.detect.guards.guard import Part, divide
from pixelproof.detect.guards.scored import ScoreGuard, guard
from pixelproof.detect.guards.settings import MOST, check_settings
from pixelproof.draws import seeded
from pixelproof.models import Classifier, frozen
from pixelproof.types import Images, PerImage

TEMPERATURE = 10.0  # softens both softmaxes, as in the paper
NOISE = 0.025  # standard deviation of the noise that the autoencoder learns to remove


@dataclass(frozen=True, eq=False)
class Restored:
    """The scorer."""

    coder: nn.Module
    by: Literal["divergence", "error"]

    def __call__(self, model: Classifier, images: Images) -> PerImage:
        """Divergences in nats, or mean absolute errors."""
        with frozen(self.coder):
            restored: Images = self.coder(images)
        if self.by == "error":
            return (images - restored).abs().flatten(1).mean(1)
        return divergence(model(images) / TEMPERATURE, model(restored) / TEMPERATURE)


@dataclass(frozen=True)
class Reconstruction:
    """MagNet's detectors with one small convolutional autoencoder trained on clean images (arXiv 1705.09064).

    `by`: "divergence" compares the softmax (temperature 10) of an image and of its reconstruction (Jensen-Shannon),
    "error" is the mean absolute reconstruction error.
    """

    by: Literal["divergence", "error"] = "divergence"
    epochs: int = 3
    width: int = 16
    rate: float = 0.05

    name: ClassVar[str] = "reconstruction"
    parts: ClassVar[tuple[Part, ...]] = (Restored,)

    def __post_init__(self) -> None:
        check_settings(self, {"epochs": (1, MOST), "width": (1, 4096)})

    def fit(
        self, model: Classifier, clean: Dataset, attacked: AdversarialSet | None, rng: torch.Generator
    ) -> ScoreGuard:
        """The guard with an autoencoder trained on three quarters of `clean`."""
        fitted, held = divide(clean, rng)
        coder = trained(fitted, self.width, self.epochs, rng).to(model.device)
        return guard(self, Restored(coder, self.by), model, held)


def divergence(one: Tensor, other: Tensor) -> PerImage:
    """Jensen-Shannon divergence of the softmaxes of two rows of logits, in nats."""
    first, second = one.log_softmax(1), other.log_softmax(1)
    middle = torch.logaddexp(first, second) - torch.log(torch.tensor(2.0))
    halves = [(p.exp() * (p - middle)).sum(1) for p in (first, second)]
    return (halves[0] + halves[1]) / 2


def trained(data: Dataset, width: int, epochs: int, rng: torch.Generator) -> nn.Module:
    """conv-pool-conv-upsample-conv, trained to remove noise; the global random state is left as it was."""
    channels = data.shape[0]
    with seeded(int(torch.randint(2**31, (1,), generator=rng))):
        coder = nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1),
            nn.Sigmoid(),
            nn.AvgPool2d(2, ceil_mode=True),
            nn.Conv2d(width, width, 3, padding=1),
            nn.Sigmoid(),
            nn.Upsample(size=data.shape[1:], mode="nearest"),
            nn.Conv2d(width, channels, 3, padding=1),
        )
        optimiser = torch.optim.Adam(coder.parameters(), lr=5e-3)
        for _ in range(epochs):
            for rows in torch.split(torch.randperm(len(data)), 64):
                images = data[rows].images
                loss = (coder(images + NOISE * torch.randn_like(images)) - images).square().mean()
                optimiser.zero_grad(set_to_none=True)
                loss.backward()
                optimiser.step()
    return coder.eval()
