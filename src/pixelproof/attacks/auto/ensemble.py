"""Auto: an ensemble in an order chosen by yield per gradient, each part attacking only what still stands."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

import torch
from jaxtyping import Int
from torch import Tensor

from pixelproof.attacks.attack import Attack, Kind, Model, check_settings
from pixelproof.attacks.auto.apgd import APGD
from pixelproof.attacks.auto.fab import FAB
from pixelproof.attacks.auto.square import Square
from pixelproof.attacks.hopskip import HopSkipJump
from pixelproof.attacks.momentum import MarginPGD
from pixelproof.attacks.precision import Precision
from pixelproof.attacks.watch import Watched, watch
from pixelproof.draws import Draws, Rng
from pixelproof.errors import NoGradient
from pixelproof.lp import Convex
from pixelproof.types import Goal, Images, Mask, PerImage

Version = Literal["fast", "standard"]
Rows: TypeAlias = Int[Tensor, " m"]
NEAR = 0.1  # share of its clean margin that is left of an image worth a few more starts
QUERIES_ONLY = "the network gives no gradient; what was run is what works by queries"
WORTH = 0.1  # share of its margin that an image must have lost in a round to be taken into the next


@dataclass(frozen=True)
class EnsembleStage:
    """One part of the ensemble: an attack, its round, and whether its progress decides about the next round.

    A `near` part is only for images that have almost nothing left of their margin.
    """

    attack: Attack
    round: int
    probes: bool
    near: bool = False

    @property
    def label(self) -> str:
        """What to print: the attack with what sets it apart."""
        if isinstance(self.attack, Square):
            return f"square {self.attack.queries}"
        if isinstance(self.attack, APGD | FAB | MarginPGD):
            toward = f" rival {self.attack.first + 1}" if self.attack.targets == 1 else ""
            kind = "" if isinstance(self.attack, FAB) else f" {self.attack.loss}"
            starts = f" x {self.attack.restarts}" if self.attack.restarts > 1 else ""
            return f"{self.attack.name}{kind} {self.attack.steps}{toward}{starts}"
        return self.attack.name


@dataclass(frozen=True)
class Auto:
    """The per-image worst case of an ensemble (AutoAttack: Croce & Hein 2020, arXiv 2003.01690).

    "fast" orders the parts by images broken per gradient: 20 margin steps with momentum, APGD on the cross-entropy
    (before and after it three more starts for images that have less than a tenth of their margin left), APGD on the
    targeted DLR towards the three strongest rivals, a short FAB-T and a short Square. Its second and third rounds, with
    more steps, rivals and queries, take only images on which the last round still made progress: a defence that hides
    its gradients yields to Square and so gets the long treatment. "standard" is AutoAttack's: APGD-CE, APGD-T, FAB-T
    with 9 rivals and 100 steps each and Square with 5000 queries, without a stop rule (l1: five restarts of APGD-CE and
    five rivals, as published).
    """

    eps: float
    norm: Convex = "linf"
    version: Version = "fast"

    name: ClassVar[str] = "auto"
    kind: ClassVar[Kind] = "budget"
    draws: ClassVar[bool] = True
    targetable: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_settings(self.name, eps=self.eps, norm=self.norm)

    def stages(self, classes: int, *, targeted: bool = False, gradient: bool = True) -> tuple[EnsembleStage, ...]:
        """Every part in order, the rounds one after the other, for a model with so many classes.

        For a model without a `gradient` that is what works by queries: scores, then bare decisions (not for l1).
        """
        if not gradient:
            square = EnsembleStage(Square(self.eps, norm=self.norm), 0, False)
            if self.norm == "l1":
                return (square,)
            return square, EnsembleStage(HopSkipJump(norm=self.norm, eps=self.eps), 0, False)
        plan = self._standard() if self.version == "standard" else self._fast()
        rivals = classes - 1
        kept = []
        for stage in plan:
            attack = stage.attack
            skipped = isinstance(attack, APGD | FAB) and attack.targets > 0 and (attack.first >= rivals or targeted)
            needs = 4 if isinstance(attack, APGD) and attack.targets else 3
            if isinstance(attack, APGD) and attack.loss == "dlr" and classes < needs:
                stage = EnsembleStage(
                    APGD(attack.eps, attack.steps, "margin", norm=attack.norm), stage.round, stage.probes
                )
                skipped = skipped or attack.first > 0
            if not skipped:
                kept.append(stage)
        return tuple(kept)

    def _standard(self) -> Iterator[EnsembleStage]:
        sparse = self.norm == "l1"
        yield EnsembleStage(APGD(self.eps, restarts=5 if sparse else 1, norm=self.norm), 0, False)
        for k in range(5 if sparse else 9):
            yield EnsembleStage(APGD(self.eps, loss="dlr", targets=1, first=k, norm=self.norm), 0, False)
        for k in range(9):
            yield EnsembleStage(FAB(targets=1, first=k, norm=self.norm, eps=self.eps), 0, False)
        yield EnsembleStage(Square(self.eps, norm=self.norm), 0, False)

    def _fast(self) -> Iterator[EnsembleStage]:
        exact: Precision = "auto"
        if self.norm == "l1":  # which values are steepest is all that matters there, and bfloat16 cannot tell
            exact = "float32"
        else:
            yield EnsembleStage(MarginPGD(self.eps, norm=self.norm), 0, False)
        yield EnsembleStage(APGD(self.eps, loss="probability", norm=self.norm), 0, False, near=True)
        yield EnsembleStage(APGD(self.eps, precision=exact, norm=self.norm), 0, False)
        yield EnsembleStage(APGD(self.eps, restarts=2, norm=self.norm), 0, False, near=True)
        for number, (steps, rivals, queries) in enumerate(((20, 3, 100), (50, 9, 500), (100, 9, 5000))):
            if number:
                yield EnsembleStage(APGD(self.eps, steps, "margin", precision=exact, norm=self.norm), number, True)
            for k in range(rivals):
                attack = APGD(self.eps, steps, "dlr", targets=1, first=k, precision=exact, norm=self.norm)
                yield EnsembleStage(attack, number, True)
            for k in range(1 if not number else 3):
                attack_fab = FAB(steps // 2, targets=1, first=k, norm=self.norm, eps=self.eps)
                yield EnsembleStage(attack_fab, number, True)
            yield EnsembleStage(Square(self.eps, queries, norm=self.norm), number, True)

    def __call__(self, model: Model, images: Images, goal: Goal, rng: Rng) -> Images:
        """The first image that reaches the goal, else the one with the smallest margin over all parts."""
        try:
            return self._run(watch(model, goal), images, goal, rng, gradient=True)
        except NoGradient:
            watched = watch(model, goal)
            watched.tally.notes.add(QUERIES_ONLY)
            return self._run(watched, images, goal, rng, gradient=False)

    def _run(self, watched: Watched, images: Images, goal: Goal, rng: Rng, *, gradient: bool) -> Images:
        draws = Draws.of(rng, len(images))
        with torch.no_grad():
            logits = watched(images)
            ledger = Ledger.begin(images, goal.margin(logits))
        classes = goal.seen(logits).shape[1]  # an alarm is a class of the card that is no rival
        for stage in self.stages(classes, targeted=goal.targeted, gradient=gradient):
            rows = ledger.due(stage)
            if len(rows):
                found = stage.attack(watched[rows], images[rows], goal[rows], draws[rows.cpu()])
                with torch.no_grad():
                    logits = watched[rows](found)
                ledger.record(rows, found, goal[rows].reached(logits), goal[rows].margin(logits))
        return ledger.images


@dataclass(eq=False)
class Ledger:
    """What the ensemble knows of each image: its best perturbed twin, whether that succeeds, and how near it came.

    `margin` is the clean image's, `nearest` the smallest seen, `mark` what it was before the probing parts of the
    current round, and `active` whether the image takes part in the round. An image takes part in a later round only
    when the probing parts of the round before brought its margin down by a tenth or more: what no longer moves is not
    worth pushing.
    The rule looks at one image at a time, so results depend neither on the batch nor on the company.
    """

    images: Images
    reached: Mask
    active: Mask
    margin: PerImage
    nearest: PerImage
    mark: PerImage
    round: int = 0
    probing: bool = False

    @classmethod
    def begin(cls, images: Images, margin: PerImage) -> Ledger:
        """Nothing is known yet but the margins of the clean images."""
        false = torch.zeros(len(images), dtype=torch.bool, device=images.device)
        far = torch.full((len(images),), float("inf"), device=images.device)
        return cls(images.clone(), false, ~false, margin, far, far.clone())

    def due(self, stage: EnsembleStage) -> Rows:
        """The images that a stage must attack; stages are asked for in order."""
        if stage.round != self.round:
            self.active = self.nearest < (1 - WORTH) * self.mark
            self.round, self.probing = stage.round, False
        if stage.probes and not self.probing:
            self.mark, self.probing = self.nearest.clone(), True
        due = self.active & ~self.reached
        return (due & (self.nearest < NEAR * self.margin) if stage.near else due).nonzero()[:, 0]

    def record(self, rows: Rows, found: Images, reached: Mask, margins: PerImage) -> None:
        """Keep what a stage found for `rows` where it is better than what was known."""
        better = reached | (margins < self.nearest[rows])
        self.images[rows[better]], self.nearest[rows[better]] = found[better], margins[better]
        self.reached[rows] |= reached
