"""How well detectors on signatures do: cross-attack matrices against clean images and against noise of equal size."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from pixelproof.detect import Calibration, Estimate, Figures, figures, roc
from pixelproof.detect.detectors.heads import HeadHistory
from pixelproof.detect.evaluation.noise import KINDS, Noise
from pixelproof.errors import BadInput
from pixelproof.measure.pairs import Pair, joint
from pixelproof.results.signature_detectors import DetectorRecord, RowTable
from pixelproof.types import PerImage, Rate

FIT, CALIBRATE, JUDGE = 0, 1, 2
LEAST = 20  # successful adversarial images to fit on, and to judge on
CLEAN = "clean"
OTHERS: tuple[Noise, ...] = tuple(kind for kind in KINDS if kind != "sign")
NOISE, FROM_SIGN, TO_SIGN, LEFT_OUT = "noise", "from sign", "to sign", "left out"

Score: TypeAlias = Callable[[Tensor], Tensor]
Fit: TypeAlias = Callable[[Tensor, Tensor, tuple[Tensor, Tensor]], tuple[Score, HeadHistory | None]]
Scores: TypeAlias = Mapping[str, Mapping[str, Tensor]]  # attack fitted on -> state -> score of each image


def twin(kind: Noise, attack: str) -> str:
    """The name of the images that carry noise of one kind, each as large as its image under an attack."""
    return f"{kind} noise like {attack}"


@dataclass(frozen=True, eq=False)
class Split:
    """Which images are fitted, calibrated and judged on (0, 1, 2), and where each attack succeeded."""

    part: Int[Tensor, " n"]
    success: dict[str, Bool[Tensor, " n"]]

    def rows(self, part: int, attack: str | None = None) -> Bool[Tensor, " n"]:
        """The images of a part; of an attack, those that it fooled."""
        chosen = self.part == part
        return chosen if attack is None else chosen & self.success[attack]


@dataclass(frozen=True)
class Candidate:
    """A detector to be examined: its name, how it is fitted, and the kinds of noise it sees as clean in its fit.

    `fitted` is False for a single number that is taken as it is.
    """

    name: str
    fit: Fit
    noise: tuple[Noise, ...] = ()
    fitted: bool = True

    @property
    def control(self) -> bool:
        """Whether it only shows what a detector without explanations reaches."""
        return "control" in self.name


@dataclass(frozen=True)
class Examination:
    """How detectors are examined: on which attack closely, at which false-alarm rate, with which seed."""

    focus: str
    rate: float
    seed: int

    def __call__(self, candidate: Candidate, table: RowTable, split: Split) -> DetectorRecord:
        """Fit on every attack, judge on every attack, with and without the kinds of noise that are judged on.

        Raises BadInput when an attack has too few successes to fit or judge on, and says how many.
        """
        check_enough(split)
        attacks = tuple(split.success)
        nominal, history = self._fit(candidate, table, split, candidate.noise)
        views: dict[str, tuple[Scores, tuple[str, ...]]] = {key: (nominal, (key,)) for key in (CLEAN, *KINDS)}
        directions: tuple[tuple[str, tuple[Noise, ...], tuple[Noise, ...]], ...]
        directions = ((FROM_SIGN, ("sign",), OTHERS), (TO_SIGN, OTHERS, ("sign",)))
        for key, seen, judged in directions:
            scores = self._fit(candidate, table, split, seen)[0] if candidate.noise else nominal
            views[key] = (scores, judged)
        pairs = {key: _pairs(scores, split, kinds, candidate.fitted) for key, (scores, kinds) in views.items()}
        against = {key: _matrix(attacks, found) for key, found in pairs.items()}
        against[LEFT_OUT] = (against[FROM_SIGN] + against[TO_SIGN]) / 2
        groups = {key: [_off(found)] for key, found in pairs.items()}
        groups |= {NOISE: [_off(pairs[kind]) for kind in KINDS], LEFT_OUT: groups[FROM_SIGN] + groups[TO_SIGN]}
        cross = {key: joint(found, seed=self.seed) for key, found in groups.items()} if len(attacks) > 1 else {}
        return self._record(candidate, split, (nominal[self.focus], history), (against, cross))

    def _fit(
        self, candidate: Candidate, table: RowTable, split: Split, seen: tuple[Noise, ...]
    ) -> tuple[Scores, HeadHistory | None]:
        """The scores of every image in every state after a fit on each attack, and the focus attack's history."""
        found, history = {}, None
        for attack in split.success:
            fitting, held = (_rows_for(table, split, attack, (part, seen)) for part in (FIT, JUDGE))
            score, epochs = candidate.fit(*fitting, held)
            found[attack] = {state: score(rows) for state, rows in table.rows.items()}
            history = epochs if attack == self.focus else history
        return found, history

    def _record(
        self,
        candidate: Candidate,
        split: Split,
        focused: tuple[Mapping[str, Tensor], HeadHistory | None],
        tables: tuple[dict[str, Tensor], dict[str, Estimate]],
    ) -> DetectorRecord:
        own, history = focused
        judged, hit = split.rows(JUDGE), split.rows(JUDGE, self.focus)
        quiet, strange = own[CLEAN][judged], own[self.focus][hit]
        noisy = torch.cat([own[twin(kind, self.focus)][hit] for kind in KINDS])
        calibration = Calibration(own[CLEAN][split.rows(CALIBRATE)], self.rate)
        curve = roc(quiet, strange)

        def alarms(scores: PerImage) -> Rate:
            return Rate(int(calibration.judge(scores).alarm.sum()), len(scores))

        return DetectorRecord(
            name=candidate.name,
            control=candidate.control,
            fitted=candidate.fitted,
            noise=candidate.noise,
            attacks=tuple(split.success),
            fitted_on=torch.tensor([int(split.rows(FIT, attack).sum()) for attack in split.success]),
            judged=torch.tensor([int(split.rows(JUDGE, attack).sum()) for attack in split.success]),
            against=tables[0],
            cross=tables[1],
            focus=self.focus,
            figures=figures(quiet, strange, seed=self.seed),
            figures_noise=self._turned(noisy, strange, candidate.fitted),
            fpr=curve.fpr,
            tpr=curve.tpr,
            history=history,
            rate=self.rate,
            alarms=alarms(strange),
            false_alarms=alarms(quiet),
            noise_alarms=alarms(noisy),
        )

    def _turned(self, quiet: PerImage, strange: Tensor, fitted: bool) -> Figures:
        """The figures; of a number that nobody fitted, in the direction in which it tells more."""
        found = figures(quiet, strange, seed=self.seed)
        return found if fitted or float(found.auroc) >= 0.5 else figures(-quiet, -strange, seed=self.seed)


def check_enough(split: Split) -> None:
    """Refuse attacks with too few successes among the images to fit or to judge on."""
    for attack in split.success:
        for part, doing in ((FIT, "fit"), (JUDGE, "judge")):
            n = int(split.rows(part, attack).sum())
            if n < LEAST:
                expected = f"needs at least {LEAST} successful adversarial images to {doing} on"
                do = "Raise n or eps in the study's [signatures], or leave this attack out."
                raise BadInput(f"detectors, {attack}", expected, n, do)


def fitting_rows(table: RowTable, split: Split, attack: str, seen: tuple[Noise, ...]) -> tuple[Tensor, Tensor]:
    """What a detector is fitted on: rows, and whether each is of an attacked image."""
    return _rows_for(table, split, attack, (FIT, seen))


def _rows_for(
    table: RowTable, split: Split, attack: str, which: tuple[int, tuple[Noise, ...]]
) -> tuple[Tensor, Tensor]:
    """Rows and whether each is attacked: clean images, noise twins of the successes, and the successes themselves."""
    part, seen = which
    hit = split.rows(part, attack)
    quiet = torch.cat([table.rows[CLEAN][split.rows(part)], *(table.rows[twin(kind, attack)][hit] for kind in seen)])
    rows = torch.cat([quiet, table.rows[attack][hit]])
    return rows, torch.arange(len(rows)) >= len(quiet)


def _pairs(scores: Scores, split: Split, kinds: tuple[str, ...], fitted: bool) -> dict[tuple[str, str], list[Pair]]:
    """For every attack fitted on and attack tested on: one pair per kind of harmless images, on the judged images."""
    judged = split.rows(JUDGE)
    found: dict[tuple[str, str], list[Pair]] = {}
    for attack, states in scores.items():
        for tested in split.success:
            hit = split.success[tested][judged]
            found[attack, tested] = [
                Pair(
                    quiet=states[kind if kind == CLEAN else twin(kind, tested)][judged],  # type: ignore[arg-type]
                    strange=states[tested][judged],
                    quiet_rows=torch.ones_like(hit) if kind == CLEAN else hit,
                    strange_rows=hit,
                    either=not fitted,
                )
                for kind in kinds
            ]
    return found


def _matrix(attacks: tuple[str, ...], pairs: Mapping[tuple[str, str], list[Pair]]) -> Float[Tensor, "a a"]:
    rows = [[torch.cat([p.auroc() for p in pairs[a, b]]).mean() for b in attacks] for a in attacks]
    return torch.stack([torch.stack(row) for row in rows]).float()


def _off(pairs: Mapping[tuple[str, str], list[Pair]]) -> list[Pair]:
    """The pairs of two different attacks."""
    return [pair for (attack, tested), found in pairs.items() if attack != tested for pair in found]
