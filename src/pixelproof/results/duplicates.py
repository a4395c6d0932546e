"""What a run keeps about near-duplicates among the training images."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Bool, Float, Int
from torch import Tensor

from pixelproof.detect import Estimate


@dataclass(frozen=True, eq=False)
class DuplicateRecord:
    """Near-duplicates among the `images` training images, and what leaving them out of the index changes.

    Pair i: positions `first` and `second` in the original training file, their root mean square `distance` (at most
    `limit`), whether they have the `same` label; `left_out`: all but one image of every group. AUROC of every layer's
    rule, at its `k`, on the judging half against `attack`: `with_them`, `without`, and the paired `change`.
    """

    limit: float
    images: int
    first: Int[Tensor, " p"]
    second: Int[Tensor, " p"]
    distance: Float[Tensor, " p"]
    same: Bool[Tensor, " p"]
    left_out: Int[Tensor, " r"]
    attack: str
    layers: tuple[str, ...]
    k: tuple[int, ...]
    with_them: tuple[float, ...]
    without: tuple[float, ...]
    change: tuple[Estimate, ...]
