"""Is a difference more than chance? Exact paired tests, intervals, many cells at once, and several training seeds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats

from pixelproof.draws import numpy_rng
from pixelproof.errors import BadInput
from pixelproof.results import Difference

DRAWS = 10_000
LEVEL = 0.95


def mcnemar(only_first: int, only_second: int) -> float:
    """The exact two-sided p-value of McNemar's test (1947): images that only one of two models gets right.

    Under the null hypothesis each of them falls to either model with probability one half.
    """
    discordant = only_first + only_second
    return float(stats.binomtest(only_first, discordant, 0.5).pvalue) if discordant else 1.0


def paired(only_first: int, only_second: int, n: int, *, seed: int = 0) -> Difference:
    """The paired difference of two accuracies on n images, with a percentile bootstrap interval (Efron 1979).

    To resample images is to draw three counts (right under the first only, the second only, the rest) from a
    multinomial, 10 000 times. Where no image tells the models apart the bootstrap sees nothing; the interval is then
    what 0 of n leaves open (Clopper & Pearson 1934), to both sides.
    """
    if not (n > 0 and only_first >= 0 and only_second >= 0 and only_first + only_second <= n):
        raise BadInput("paired", "counts must fit into n images", (only_first, only_second, n))
    value = (only_second - only_first) / n
    if not only_first + only_second:
        room = 1 - ((1 - LEVEL) / 2) ** (1 / n)
        return Difference(value, -room, room)
    shares = np.array([only_first, only_second, n - only_first - only_second]) / n
    drawn = numpy_rng(seed).multinomial(n, shares, size=DRAWS)
    low, high = np.quantile((drawn[:, 1] - drawn[:, 0]) / n, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Difference(value, float(low), float(high))


def holm(p: Sequence[float]) -> tuple[float, ...]:
    """The p-values adjusted for their number (Holm 1979), in the order given."""
    order = sorted(range(len(p)), key=lambda k: p[k])
    adjusted, highest = [0.0] * len(p), 0.0
    for rank, k in enumerate(order):
        highest = max(highest, min(1.0, (len(p) - rank) * p[k]))
        adjusted[k] = highest
    return tuple(adjusted)


def welch(first: Sequence[float], second: Sequence[float]) -> Difference:
    """The difference of two means over training seeds with Welch's t interval (1947); at least two values each."""
    if min(len(first), len(second)) < 2:
        raise BadInput("welch", "needs at least two values on each side", (len(first), len(second)))
    a, b = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    value = float(b.mean() - a.mean())
    parts = a.var(ddof=1) / len(a), b.var(ddof=1) / len(b)
    if not sum(parts):
        return Difference(value, value, value)
    freedom = sum(parts) ** 2 / (parts[0] ** 2 / (len(a) - 1) + parts[1] ** 2 / (len(b) - 1))
    half = float(stats.t.ppf((1 + LEVEL) / 2, freedom) * sum(parts) ** 0.5)
    return Difference(value, value - half, value + half)


def nested(first: np.ndarray, second: np.ndarray, *, seed: int = 0, draws: int = 2000) -> Difference:
    """The difference of two methods when both seeds and images are resampled (hierarchical bootstrap).

    `first` and `second` are booleans (seeds, images): what each trained network got right, on the same images. Seeds
    are drawn within each method, images once for both, so that the pairing stays.
    """
    if first.ndim != 2 or second.ndim != 2 or first.shape[1] != second.shape[1]:
        raise BadInput("nested", "needs (seeds, images) twice, on the same images", (first.shape, second.shape))
    rng = numpy_rng(seed)
    n = first.shape[1]
    found = np.empty(draws)
    for k in range(draws):
        weights = rng.multinomial(n, np.full(n, 1 / n)) / n
        rates = [(side[rng.integers(len(side), size=len(side))] @ weights).mean() for side in (first, second)]
        found[k] = rates[1] - rates[0]
    low, high = np.quantile(found, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Difference(float(second.mean() - first.mean()), float(low), float(high))
