"""How well detectors on signatures do: cross-attack matrices against clean images and against noise of equal size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from pixelproof.detect import Calibration, Figures, figures, roc
from pixelproof.detect.heads import HeadHistory
from pixelproof.errors import BadInput
from pixelproof.types import Rate

FIT, CALIBRATE, JUDGE = 0, 1, 2
LEAST = 20  # successful adversarial images to fit on, and to judge on
CLEAN, NOISE = "clean", "sign-noise"

Score: TypeAlias = Callable[[Tensor], Tensor]
Fit: TypeAlias = Callable[[Tensor, Tensor, tuple[Tensor, Tensor]], tuple[Score, HeadHistory | None]]


def matched(attack: str) -> str:
    """The name of the images that carry an attack's perturbation at shuffled pixels."""
    return f"shuffled {attack}"


@dataclass(frozen=True, eq=False)
class RowTable:
    """Rows of numbers of the same images in several states (clean, attacked, noisy), in one order."""

    rows: dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class Split:
    """Which images are fitted, calibrated and judged on (0, 1, 2), and where each attack succeeded."""

    part: Int[Tensor, " n"]
    success: dict[str, Bool[Tensor, " n"]]

    def of(self, table: RowTable, name: str, part: int) -> Tensor:
        """The rows of one state and part; of an attack, its successes only."""
        chosen = self.part == part
        return table.rows[name][chosen & self.success[name] if name in self.success else chosen]


@dataclass(frozen=True, eq=False)
class DetectorRecord:
    """One detector: AUROC of each attack (column) after fitting on each attack (row), and the focus attack closely.

    Each matrix has its own negatives: clean images, clean images with sign noise of the attacks' eps, and clean images
    with the tested attack's perturbation shuffled. `noise`: such noise was among the negatives of the fit. `judged`:
    successful images per attack that the columns rest on. The rest belongs to fitting and testing on `focus`: figures
    against clean images and against sign noise, ROC curve, accuracy per epoch (networks), and what the threshold at
    false-alarm rate `rate` does.
    """

    name: str
    control: bool
    noise: bool
    attacks: tuple[str, ...]
    fitted: Int[Tensor, " a"]
    judged: Int[Tensor, " a"]
    against_clean: Float[Tensor, "a a"]
    against_noise: Float[Tensor, "a a"]
    against_shuffled: Float[Tensor, "a a"]
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


@dataclass(frozen=True)
class Examination:
    """How detectors are examined: on which attack closely, at which false-alarm rate, with which seed."""

    focus: str
    rate: float
    seed: int

    def __call__(self, name: str, table: RowTable, split: Split, fit: Fit, *, noise: bool) -> DetectorRecord:
        """Fit on every attack, judge on every attack; a control is a detector whose name says so.

        Raises BadInput when an attack has too few successes to fit or judge on, and says how many.
        """
        attacks = tuple(split.success)
        check_enough(split)
        found = {}
        history = None
        for attack in attacks:
            score, epochs = fit(
                *_fitting(table, split, attack, FIT, noise), _fitting(table, split, attack, JUDGE, noise)
            )
            found[attack] = {state: score(rows) for state, rows in table.rows.items()}
            history = epochs if attack == self.focus else history
        own = found[self.focus]
        judged = split.part == JUDGE
        quiet, noisy = own[CLEAN][judged], own[NOISE][judged]
        strange = own[self.focus][judged & split.success[self.focus]]
        calibration = Calibration(own[CLEAN][split.part == CALIBRATE], self.rate)
        curve = roc(quiet, strange)
        matrices = [
            torch.tensor([[self._auroc(found[a], split, b, other) for b in attacks] for a in attacks])
            for other in (CLEAN, NOISE, None)
        ]

        def alarms(scores: Tensor) -> Rate:
            return Rate(int(calibration.judge(scores).alarm.sum()), len(scores))

        return DetectorRecord(
            name=name,
            control="control" in name,
            noise=noise,
            attacks=attacks,
            fitted=torch.tensor([int((split.success[a] & (split.part == FIT)).sum()) for a in attacks]),
            judged=torch.tensor([int((split.success[a] & judged).sum()) for a in attacks]),
            against_clean=matrices[0],
            against_noise=matrices[1],
            against_shuffled=matrices[2],
            focus=self.focus,
            figures=figures(quiet, strange, seed=self.seed),
            figures_noise=figures(noisy, strange, seed=self.seed),
            fpr=curve.fpr,
            tpr=curve.tpr,
            history=history,
            rate=self.rate,
            alarms=alarms(strange),
            false_alarms=alarms(quiet),
            noise_alarms=alarms(noisy),
        )

    def _auroc(self, scores: dict[str, Tensor], split: Split, attack: str, other: str | None) -> float:
        judged = split.part == JUDGE
        quiet = scores[matched(attack) if other is None else other][judged]
        strange = scores[attack][judged & split.success[attack]]
        return float(figures(quiet, strange, seed=self.seed, resamples=0).auroc)


def check_enough(split: Split) -> None:
    """Refuse attacks with too few successes among the images to fit or to judge on."""
    for attack, success in split.success.items():
        for part, doing in ((FIT, "fit"), (JUDGE, "judge")):
            n = int((success & (split.part == part)).sum())
            if n < LEAST:
                expected = f"needs at least {LEAST} successful adversarial images to {doing} on"
                do = "Raise n or eps in the study's [signatures], or leave this attack out."
                raise BadInput(f"detectors, {attack}", expected, n, do)


def _fitting(table: RowTable, split: Split, attack: str, part: int, noise: bool) -> tuple[Tensor, Tensor]:
    """Rows and whether each is attacked: clean (and noisy) images, and the successes of one attack."""
    states = [CLEAN, NOISE, matched(attack)] if noise else [CLEAN]
    quiet = torch.cat([split.of(table, state, part) for state in states])
    strange = split.of(table, attack, part)
    rows = torch.cat([quiet, strange])
    return rows, torch.arange(len(rows)) >= len(quiet)
