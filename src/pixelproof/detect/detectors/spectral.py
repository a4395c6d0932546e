"""Is the image's frequency spectrum that of clean images? (Harder et al. 2021)"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from pixelproof.attacks import AdversarialSet
from pixelproof.data import Dataset
from pixelproof.detect.detectors.mahalanobis import Gaussian
from pixelproof.detect.guards.guard import Part, divide
from pixelproof.detect.guards.scored import ScoreGuard, guard
from pixelproof.detect.guards.settings import check_settings
from pixelproof.models import Classifier
from pixelproof.types import Images, PerImage

FLOOR = 1e-8  # energy below which a band counts as empty


@dataclass(frozen=True, eq=False)
class Spectrum:
    """The scorer."""

    bands: int
    normal: Gaussian

    def __call__(self, model: Classifier, images: Images) -> PerImage:
        """Squared distances."""
        return self.normal.nearest(energies(images, self.bands))


@dataclass(frozen=True)
class Spectral:
    """Mahalanobis distance of log energies in rings of the Fourier spectrum to those of clean images.

    After SpectralDefense (Harder et al. 2021, arXiv 2103.03000), which trains a classifier on the spectra of the tested
    attack; this one sees clean images only. It looks at the image, not at the model. Two-sided: smoothing is strange,
    too.
    """

    bands: int = 8
    two_sided: bool = True
    rate: float = 0.05

    name: ClassVar[str] = "spectral"
    parts: ClassVar[tuple[Part, ...]] = (
        Gaussian,
        Spectrum,
    )

    def __post_init__(self) -> None:
        check_settings(self, {"bands": (1, 1024)})

    def fit(
        self, model: Classifier, clean: Dataset, attacked: AdversarialSet | None, rng: torch.Generator
    ) -> ScoreGuard:
        """The guard; the spectra of three quarters of `clean` are the clean ones."""
        fitted, held = divide(clean, rng)
        table = torch.cat([energies(part.images, self.bands) for part in fitted.batches(500)])
        normal = Gaussian.of(table, table.mean(0, keepdim=True), torch.zeros(len(table), dtype=torch.long))
        scorer = Spectrum(self.bands, normal)
        return guard(self, scorer, model, held, two_sided=self.two_sided)


def energies(images: Images, bands: int) -> Float[Tensor, "n d"]:
    """Log mean energy of each channel in rings of equal width, from the lowest to the highest frequency."""
    height, width = images.shape[2:]
    power = torch.fft.fft2(images, norm="ortho").abs().square().flatten(2)
    down = torch.fft.fftfreq(height, device=images.device)[:, None]
    right = torch.fft.fftfreq(width, device=images.device)[None]
    radius = (down.square() + right.square()).sqrt().flatten()
    ring = (radius / radius.max() * bands).long().clamp_max(bands - 1)
    member = torch.nn.functional.one_hot(ring, bands).to(power)
    mean = power @ member / member.sum(0).clamp_min(1)
    found: Tensor = (mean + FLOOR).log().flatten(1)
    return found
