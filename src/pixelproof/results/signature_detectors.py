"""What a run keeps about detectors on signatures: their rows, their figures, and the attack that knows the best one."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor

from pixelproof.detect import Estimate, Figures
from pixelproof.detect.detectors.heads import HeadHistory
from pixelproof.types import Rate


@dataclass(frozen=True, eq=False)
class RowTable:
    """Rows of numbers of the same images in several states (clean, attacked, noisy), in one order."""

    rows: dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class DetectorRecord:
    """One detector: AUROC of each attack (column) after fitting on each attack (row), and the focus attack closely.

    `against` has a matrix for each sort of harmless images: clean ones, and noise twins of the tested attack (noise of
    one kind, each image's as large as the attack's change of it). They hold for the fit with the kinds in `noise`; in
    "from sign" the fit saw sign noise and the other three kinds are judged (their mean), in "to sign" the reverse, and
    "left out" is the mean of both; a detector that sees no noise has only one fit. `cross`: the means over pairs of two
    different attacks with intervals joint over the pairs, "noise" over all four kinds; empty with a single attack.
    For a detector that is not `fitted`, values below 0.5 are turned around.

    `judged`: successful images per attack that the columns rest on. The rest belongs to fitting and testing on `focus`:
    figures against clean images and against its noise twins of all kinds, ROC curve, accuracy per epoch (networks),
    and what the threshold at false-alarm rate `rate` does.
    """

    name: str
    control: bool
    fitted: bool
    noise: tuple[str, ...]
    attacks: tuple[str, ...]
    fitted_on: Int[Tensor, " a"]
    judged: Int[Tensor, " a"]
    against: dict[str, Float[Tensor, "a a"]]
    cross: dict[str, Estimate]
    focus: str
    figures: Figures
    figures_noise: Figures
    fpr: Float[Tensor, " t"]
    tpr: Float[Tensor, " t"]
    history: HeadHistory | None
    rate: float
    alarms: Rate
    false_alarms: Rate
    noise_alarms: Rate


@dataclass(frozen=True, eq=False)
class AdaptiveRecord:
    """What attacks that know a detector reach: fooled, fooled without an alarm, and AUROC of their successes."""

    detector: str
    n: int
    eps: float
    steps: int
    rate: float
    attacks: tuple[str, ...]
    fooled: tuple[Rate, ...]
    evaded: tuple[Rate, ...]
    auroc: tuple[float | None, ...]
    lost: Rate
