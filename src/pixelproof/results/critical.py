"""What a study keeps about why its classifier was fooled: critical pixels, sanity checks, and the inside."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from pixelproof.explain import HeldOutTest, NullRun, PixelCurve, PixelTest, PooledTest, Randomisation
from pixelproof.types import PerImage, Rate

BINS = 60


@dataclass(frozen=True, eq=False)
class Histogram:
    """Counts of |change| in equal bins up to `edges[-1]`, for critical and for all other pixels."""

    edges: Float[Tensor, " e"]
    critical: Float[Tensor, " b"]
    other: Float[Tensor, " b"]

    @classmethod
    def of(cls, critical: Tensor, other: Tensor) -> Histogram:
        """Counts over both groups' common range."""
        top = max(float(critical.max()), float(other.max()), 1e-12)
        counts = [torch.histc(values.flatten(), BINS, 0.0, top) for values in (critical, other)]
        return cls(torch.linspace(0, top, BINS + 1), *counts)


@dataclass(frozen=True, eq=False)
class Confined:
    """What an attack reached that may change only the first k pixels of a ranking."""

    ranking: str
    k: int
    fooled: Rate


@dataclass(frozen=True, eq=False)
class FixedClass:
    """The held-out test on maps of one and the same class before and after, and what noise of equal size gives.

    The maps of predicted classes change because the class does. Here every map is of the true class: `attacked`
    compares clean images with attacked ones, `noisy` with their noise twins (the perturbation shuffled, of equal l2
    size); `noise_runs` says how often the tests call the noise significant on random halves of the images.
    """

    attacked: HeldOutTest
    noisy: HeldOutTest
    noise_runs: NullRun


@dataclass(frozen=True, eq=False)
class CriticalRecord:
    """Critical pixels of one attack's successes, in both of paper 1's senses, and every test of them.

    `generation` and `detection` (h, w): mean scores over images. `shared`: Jaccard overlap of the two senses' first k
    pixels per image. `concentration`: the share of all of an image's score that its first k pixels carry, generation
    and detection. `curves` belong to `attack`; `deep_curves` to `deep`, the same attack without early stop, which goes
    on behind the boundary as other libraries do (None and empty when the attack cannot).
    """

    attack: str
    deep: str | None
    eps: float
    seed: int
    k: int
    n: int
    generation: Float[Tensor, "h w"]
    detection: Float[Tensor, "h w"]
    shared: PerImage
    concentration: Float[Tensor, " two"]
    curves: tuple[PixelCurve, ...]
    deep_curves: tuple[PixelCurve, ...]
    confined: tuple[Confined, ...]
    pooled: PooledTest
    histogram: Histogram
    held_out: HeldOutTest
    fixed: FixedClass
    null: NullRun
    pixels: PixelTest


@dataclass(frozen=True, eq=False)
class SanityRecord:
    """Does the signature depend on the model, and how much on the choice of backgrounds?

    `stability[p]` (n): Jaccard overlap of the first k pixels for one pair of `draws` background sets of `background`
    images; `over_models[p]` (n): the same for one pair of `models` networks that differ in their training seed, on the
    `models_n` images that all of them classify correctly (None where no network was trained). `chance` is what two
    random choices share.
    """

    n: int
    k: int
    background: int
    draws: int
    stability: Float[Tensor, "p n"]
    models: int
    models_n: int
    over_models: Float[Tensor, "q m"] | None
    chance: float
    randomisation: Randomisation
