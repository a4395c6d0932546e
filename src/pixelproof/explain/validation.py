"""Are critical pixels real? Paper 1's pooled t-test, and beside it the test that can be believed.

The pooled test chooses pixels and tests them on the same images (double dipping) and counts every pixel of every image
as an independent observation (pseudo-replication). The sound test chooses on one half of the images and tests on the
other half, with the image as the unit. `null_run` runs both where nothing is to be found.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from scipy import stats
from torch import Tensor

from pixelproof.errors import BadInput
from pixelproof.explain.critical import ranked
from pixelproof.types import Rate

WHO = "validation"
LEAST = 4  # images that a split into two halves needs
PERMUTATIONS = 1999
LEVEL = 0.05


@dataclass(frozen=True)
class PooledTest:
    """Paper 1's test: |change| of critical against other pixels, pooled over images; Welch's t and its p-value.

    `means` and `deviations` are those of its bar chart, critical pixels first. Its p-value must not be believed.
    """

    t: float
    p: float
    means: tuple[float, float]
    deviations: tuple[float, float]
    observations: tuple[int, int]


@dataclass(frozen=True)
class HeldOutTest:
    """Do the pixels chosen on one half of the images move, in the same direction, in the other half?

    Per image: mean signed change of the chosen pixels minus that of the others, each in the direction seen in the
    first half. `p`: one-sided, paired sign flips of whole images (exact under symmetry). `d_z`: mean / standard
    deviation over the `n` tested images. `interval`: 95 % bootstrap interval of the mean.
    """

    n: int
    mean: float
    interval: tuple[float, float]
    d_z: float
    p: float
    permutations: int


@dataclass(frozen=True)
class PixelTest:
    """Which pixels move in the same direction over images, with the whole map tested at once.

    `t`: t-statistic per pixel. `family_wise`: p-value against the largest |t| of sign-flipped images (max-T, Westfall
    and Young 1993). `false_discovery`: Benjamini-Hochberg (1995) adjusted p-value of each pixel's own permutations.
    """

    t: Float[Tensor, "h w"]
    family_wise: Float[Tensor, "h w"]
    false_discovery: Float[Tensor, "h w"]

    def significant(self, level: float = LEVEL) -> Bool[Tensor, "h w"]:
        """Pixels that survive the family-wise correction."""
        return self.family_wise <= level


@dataclass(frozen=True)
class NullRun:
    """How often each test calls p < 0.05 where no attack is to be found: clean against clean, or noise twins."""

    pooled: Rate
    held_out: Rate

    def __str__(self) -> str:
        return (
            f"Clean against clean, where nothing differs: the pooled test finds a significant difference in "
            f"{self.pooled} of the runs, the held-out test in {self.held_out}; {100 * LEVEL:.0f} % is right."
        )


def pooled_test(change: Float[Tensor, "n h w"], k: int) -> PooledTest:
    """Paper 1's t-test on the k pixels with the largest mean |change|, chosen and tested on the same images."""
    _check(change, k)
    chosen, others = _apart(change.abs().flatten(1), ranked(change.mean(0, keepdim=True).abs())[0], k)
    found = stats.ttest_ind(chosen.flatten().numpy(), others.flatten().numpy(), equal_var=False)
    return PooledTest(
        float(found.statistic),
        float(found.pvalue),
        (float(chosen.mean()), float(others.mean())),
        (float(chosen.std()), float(others.std())),
        (chosen.numel(), others.numel()),
    )


def held_out_test(change: Float[Tensor, "n h w"], k: int, rng: torch.Generator) -> HeldOutTest:
    """The sound test: k pixels chosen on a random half of the images, tested on the other half."""
    _check(change, k)
    order = torch.randperm(len(change), generator=rng)
    first, second = change[order[: len(order) // 2]], change[order[len(order) // 2 :]].flatten(1)
    seen = first.mean(0, keepdim=True)
    inside, outside = _apart(second * seen.sign().flatten(), ranked(seen.abs())[0], k)
    moved = inside.mean(1) - (outside.mean(1) if outside.numel() else 0)
    n = len(moved)
    flipped = _signs(n, rng) @ moved / n
    mean = float(moved.mean())
    drawn = torch.randint(n, (PERMUTATIONS, n), generator=rng)
    low, high = torch.quantile(moved[drawn].mean(1), torch.tensor([0.025, 0.975])).tolist()
    spread = float(moved.std())
    p = (1 + int((flipped >= mean).sum())) / (1 + PERMUTATIONS)
    return HeldOutTest(n, mean, (low, high), mean / spread if spread else 0.0, p, PERMUTATIONS)


def pixel_test(change: Float[Tensor, "n h w"], rng: torch.Generator) -> PixelTest:
    """Every pixel of the map tested over images, corrected for the number of pixels."""
    _check(change, 1)
    flat, n = change.flatten(1).double(), len(change)
    square = flat.square().mean(0)

    def t_of(mean: Tensor) -> Tensor:
        return mean / ((square - mean.square()).clamp_min(1e-24) / (n - 1)).sqrt()

    t = t_of(flat.mean(0))
    null = t_of(_signs(n, rng).double() @ flat / n).abs()
    own = (1 + (null >= t.abs()).sum(0)) / (1 + PERMUTATIONS)
    whole = (1 + (null.amax(1)[:, None] >= t.abs()).sum(0)) / (1 + PERMUTATIONS)
    shape = change.shape[1:]
    adjusted = torch.from_numpy(stats.false_discovery_control(own.numpy()))
    return PixelTest(t.view(shape).float(), whole.view(shape).float(), adjusted.view(shape).float())


def null_run(clean: Float[Tensor, "n h w"], k: int, *, runs: int, rng: torch.Generator) -> NullRun:
    """Both tests on `runs` random pairings of the attributions of clean images with each other."""
    _check(clean[: len(clean) // 2], k)
    pooled = held_out = 0
    for _ in range(runs):
        order = torch.randperm(len(clean), generator=rng)
        half = len(order) // 2
        change = clean[order[:half]] - clean[order[half : 2 * half]]
        pooled += pooled_test(change, k).p < LEVEL
        held_out += held_out_test(change, k, rng).p < LEVEL
    return NullRun(Rate(pooled, runs), Rate(held_out, runs))


def twin_run(change: Float[Tensor, "n h w"], k: int, *, runs: int, rng: torch.Generator) -> NullRun:
    """Both tests on `runs` random halves of the images' changes under something harmless, such as noise.

    Noise may well move an explanation in one direction, so its rate need not be 5 %: it says how much of an attack's
    result any perturbation of that size would give.
    """
    half = len(change) // 2
    _check(change[:half], k)
    pooled = held_out = 0
    for _ in range(runs):
        part = change[torch.randperm(len(change), generator=rng)[:half]]
        pooled += pooled_test(part, k).p < LEVEL
        held_out += held_out_test(part, k, rng).p < LEVEL
    return NullRun(Rate(pooled, runs), Rate(held_out, runs))


def verdict(pooled: PooledTest, held_out: HeldOutTest, null: NullRun) -> str:
    """Which of the two tests can be believed, in words."""
    low, high = held_out.interval
    says = "do" if held_out.p < LEVEL else "do not"
    return (
        f"The pooled test (t = {pooled.t:.4g}, p {_p(pooled.p)}) cannot be believed: it chooses and tests pixels on "
        f"the same images and counts {sum(pooled.observations)} pixels as independent. The held-out test can: on "
        f"{held_out.n} images that were not used to choose them, the critical pixels {says} move as foreseen (mean "
        f"{held_out.mean:.3g} [{low:.3g}, {high:.3g}], d_z = {held_out.d_z:.2f}, p = {held_out.p:.3g}). {null}"
    )


def _p(value: float) -> str:
    """A p-value as text; below what a float can hold it is not 0."""
    return f"= {value:.3g}" if value >= 1e-300 else "< 1e-300"


def _check(change: Tensor, k: int) -> None:
    if len(change) < LEAST:
        raise BadInput(WHO, f"at least {LEAST} images are needed", len(change), "Attack more images.")
    pixels = change[0].numel()
    if not 1 <= k <= pixels:
        raise BadInput(WHO, f"k must lie in 1..{pixels}, the pixels of an image", k)


def _apart(rows: Float[Tensor, "n p"], order: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The columns of the first k positions, and the others."""
    return rows[:, order[:k]], rows[:, order[k:]]


def _signs(n: int, rng: torch.Generator) -> Float[Tensor, "r n"]:
    return torch.randint(2, (PERMUTATIONS, n), generator=rng).float() * 2 - 1
