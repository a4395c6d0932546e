"""Does the answer hold under changes that should not matter: a mirrored or shifted image, a little noise?"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from pixelproof.attacks import AdversarialSet
from pixelproof.data import Dataset
from pixelproof.detect.guards.guard import Part, divide
from pixelproof.detect.guards.scored import ScoreGuard, guard
from pixelproof.detect.guards.settings import MOST, check_settings
from pixelproof.models import Classifier, frozen
from pixelproof.specs import derived
from pixelproof.types import Images, PerImage

Transform = Literal["auto", "flip", "shift"]
NOISE = {"sigma": (1e-6, 1.0), "draws": (1, MOST)}


@dataclass(frozen=True)
class Transformed:
    """The scorer of TransformConsistency."""

    flip: bool

    def __call__(self, model: Classifier, images: Images) -> PerImage:
        """Distances in [0, 2]."""
        plain = model(images).softmax(1)
        versions = [images.flip(3)] if self.flip else [images.roll(by, dims=axis) for axis in (2, 3) for by in (-1, 1)]
        return torch.stack([(plain - model(version).softmax(1)).abs().sum(1) for version in versions]).mean(0)


@dataclass(frozen=True, eq=False)
class Drift:
    """The scorer of NoiseConsistency."""

    noise: Float[Tensor, "m c h w"]
    mean: Float[Tensor, "k k"]
    spread: Float[Tensor, "k k"]

    def __call__(self, model: Classifier, images: Images) -> PerImage:
        """The largest standardised change over the classes that were not predicted."""
        moved, own = drift(model, images, self.noise)
        z = (moved - self.mean.to(moved.device)[own]) / self.spread.to(moved.device)[own]
        return z.scatter(1, own[:, None], -torch.inf).amax(1)


@dataclass(frozen=True, eq=False)
class Turning:
    """The scorer of GradientConsistency."""

    noise: Float[Tensor, "m c h w"]

    def __call__(self, model: Classifier, images: Images) -> PerImage:
        """Mean of 1 - cosine, in [0, 2]; 1 where a gradient vanishes."""
        again = torch.is_grad_enabled()
        with torch.enable_grad():
            start = images if images.requires_grad else images.detach().requires_grad_()
            labels = model(start).argmax(1)
            first = input_gradient(model, start, labels, again=again)
            turns = [
                1 - torch.cosine_similarity(first, input_gradient(model, start + one, labels, again=again), dim=1)
                for one in self.noise
            ]
        return torch.stack(turns).mean(0)


@dataclass(frozen=True)
class TransformConsistency:
    """Mean L1 distance between the softmax of an image and of its mirrored or shifted versions.

    A perturbation is fitted to the pixels it sits on (Tian et al. 2018, 1806.01611, use rotations and shifts so).
    `transform` "auto" mirrors colour images and shifts grey ones by a pixel in four directions: a mirrored digit is
    another sign.
    """

    transform: Transform = field(default="auto", metadata=derived("flip for colour images, shift for grey ones"))
    rate: float = 0.05

    name: ClassVar[str] = "transform"
    parts: ClassVar[tuple[Part, ...]] = (Transformed,)

    def __post_init__(self) -> None:
        check_settings(self)

    def fit(
        self, model: Classifier, clean: Dataset, attacked: AdversarialSet | None, rng: torch.Generator
    ) -> ScoreGuard:
        """A guard; there is nothing to fit but the threshold."""
        flip = self.transform == "flip" or (self.transform == "auto" and clean.shape[0] == 3)
        used = replace(self, transform="flip" if flip else "shift")
        return guard(used, Transformed(flip), model, divide(clean, rng)[1])


@dataclass(frozen=True)
class NoiseConsistency:
    """How far logits move towards another class under small noise (Roth et al. 2019, arXiv 1902.04818).

    For the predicted class y and every other z, the mean change of f_z - f_y under noise, standardised by what clean
    images of class y show; the score is the largest over z. The noise is drawn once, at the fit: a guard gives the same
    image the same score. Two-sided: on a network trained with dropout, images near a boundary move less, not more.
    """

    sigma: float = 0.05
    draws: int = 8
    two_sided: bool = True
    rate: float = 0.05

    name: ClassVar[str] = "noise"
    parts: ClassVar[tuple[Part, ...]] = (Drift,)

    def __post_init__(self) -> None:
        check_settings(self, NOISE)

    def fit(
        self, model: Classifier, clean: Dataset, attacked: AdversarialSet | None, rng: torch.Generator
    ) -> ScoreGuard:
        """The guard; means and deviations come from three quarters of `clean`."""
        fitted, held = divide(clean, rng)
        noise = drawn(self.sigma, self.draws, clean, rng).to(model.device)
        k = len(clean.classes)
        raw, predicted = [], []
        with frozen(model), torch.no_grad():
            for part in fitted.batches(250):
                moved, own = drift(model, part.images.to(model.device), noise)
                raw.append(moved.cpu())
                predicted.append(own.cpu())
        table, own = torch.cat(raw), torch.cat(predicted)
        mean, spread = torch.zeros(k, k), torch.ones(k, k)
        for label in range(k):
            mine = table[own == label]
            if len(mine) > 1:
                mean[label], spread[label] = mine.mean(0), mine.std(0).clamp_min(1e-6)
        return guard(self, Drift(noise, mean, spread), model, held, two_sided=self.two_sided)


@dataclass(frozen=True)
class GradientConsistency:
    """One minus the cosine between the input gradients of an image and of slightly noisy copies of it.

    The gradient is that of the loss of the predicted class. Two-sided: an image that was moved along its gradient sits
    where the gradient turns less than around clean images (so after FGSM on CIFAR-10).
    """

    sigma: float = 0.02
    draws: int = 2
    two_sided: bool = True
    rate: float = 0.05

    name: ClassVar[str] = "gradient"
    parts: ClassVar[tuple[Part, ...]] = (Turning,)

    def __post_init__(self) -> None:
        check_settings(self, NOISE)

    def fit(
        self, model: Classifier, clean: Dataset, attacked: AdversarialSet | None, rng: torch.Generator
    ) -> ScoreGuard:
        """A guard; there is nothing to fit but the noise and the threshold."""
        noise = drawn(self.sigma, self.draws, clean, rng).to(model.device)
        held = divide(clean, rng)[1]
        return guard(self, Turning(noise), model, held, two_sided=self.two_sided)


def drawn(sigma: float, draws: int, clean: Dataset, rng: torch.Generator) -> Float[Tensor, "m c h w"]:
    """Noise for every image alike, drawn once, so that a guard gives the same image the same score."""
    return sigma * torch.randn((draws, *clean.shape), generator=rng)


def input_gradient(model: Classifier, images: Images, labels: Tensor, *, again: bool) -> Float[Tensor, "n d"]:
    """Gradient of the cross-entropy of `labels` at each image; `again` keeps it in the graph."""
    loss = torch.nn.functional.cross_entropy(model(images), labels, reduction="sum")
    (gradient,) = torch.autograd.grad(loss, images, create_graph=again)
    return gradient.flatten(1)


def drift(model: Classifier, images: Images, noise: Float[Tensor, "m c h w"]) -> tuple[Float[Tensor, "n k"], Tensor]:
    """The mean change of f_z - f_y under the noise, for every z, and the predicted class y."""
    plain = model(images)
    own = plain.argmax(1)
    noisy = torch.stack([model(images + one) for one in noise]).mean(0)
    change = noisy - plain
    return change - change.gather(1, own[:, None]), own
