"""evaluate: the strongest evaluation a time budget buys, with an upper bound from the first second on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pixelproof import lp, specs
from pixelproof.attacks.auto.ensemble import Auto, EnsembleStage, Ledger
from pixelproof.attacks.auto.square import Square
from pixelproof.attacks.mount import LOOKED_AT, Prepared
from pixelproof.attacks.stochastic import ATTACK_DRAWS, JUDGE_DRAWS, drawing, fooling_rates
from pixelproof.data import Dataset
from pixelproof.draws import Draws, check_seed, subseed
from pixelproof.errors import BadInput
from pixelproof.measure import flags
from pixelproof.measure.clock import Clock, TimeUp
from pixelproof.models import Classifier
from pixelproof.results import Bound, Evaluation, EvaluationPart, catalogue
from pixelproof.results.evaluation import Saved
from pixelproof.run import Run
from pixelproof.types import Goal, Images, Labels, Mask, PerImage, Rate

FLAG_IMAGES = LOOKED_AT  # clean images that the flags are looked for on
FIRST_BATCH = 20  # images in the first batch under a time budget, from which the speed is learned
JUDGINGS = 2  # passes over all images that judge the result: as it is, and in 8 bits
SLICES = 50  # batches that would fill the time budget
SAVE_EVERY = 15.0  # seconds
OUT_OF_TIME = "out of time"  # why an evaluation ended that can go on
CONFIRMED = "fresh draws"  # the part that closes the evaluation of a random model


@dataclass(frozen=True)
class Live:
    """What is known at a moment: the bound, the part at work and how far it is, seconds spent and left."""

    bound: Rate
    part: str
    done: int
    total: int
    seconds: float
    left: float | None


Tell = Callable[[Live], None]


def evaluate(
    model: Classifier,
    data: Dataset,
    attack: Auto,
    *,
    targets: Labels | None = None,
    seed: int = 0,
    budget: float | None = None,
    run: Run | None = None,
    tell: Tell | None = None,
) -> Evaluation:
    """Attack `data` with the ensemble's parts in order, each on what stands, for at most `budget` seconds in all.

    With `targets` (one label per image) only images that are taken for their target count as broken.
    The result is saved in `run` as "evaluation"; an evaluation that ran out of time, or was interrupted, goes on where
    it stopped when it is called again with the same run. Of a deterministic model the same parts give the same result,
    whatever the batches and the interruptions. A network through which no gradient can be computed is attacked by
    queries alone, Square and HopSkipJump at full length, and a flag says so. What broke a random model is judged once
    more, by fresh draws, in the end: with many parts, some images are lucky once. Raises BadInput for data that does
    not fit the model and for a run that holds another evaluation.
    """
    if budget is not None and not budget > 0:
        raise BadInput("evaluate", "the time budget must be positive", budget)
    check_seed(seed)
    clock = Clock(budget)
    evaluator = Evaluator(model, data, attack, targets, seed, clock)
    if run is not None and catalogue.PROGRESS.has(run):
        evaluator.resume(catalogue.PROGRESS.load(run))
        clock.earlier = evaluator.seconds
    return evaluator.conduct(clock, run, tell or (lambda live: None))


class Evaluator:
    """One evaluation between two batches: everything that must be kept to go on later."""

    def __init__(
        self, model: Classifier, data: Dataset, attack: Auto, targets: Labels | None, seed: int, clock: Clock
    ) -> None:
        self.model, self.attack, self.seed = model, attack, seed
        self.field = Prepared.of(model, data, targets, None)
        self.digests = model.digest(), data.digest()
        self.random = self.field.random is not None
        probe = data[: min(len(data), FLAG_IMAGES)]
        with drawing(seed, wanted=True):
            self.flags = flags.before(model, probe.images, probe.labels, random=self.random)
        if warning := flags.chance(Rate(len(self.field.data), self.field.offered), len(model.card.classes)):
            self.flags += (warning,)
        gradient = flags.GRADIENT_FREE not in self.flags
        classes = len(model.card.classes)
        self.stages = attack.stages(classes, targeted=targets is not None, gradient=gradient)
        if gradient and self.random:  # FAB's boundaries and Square's comparisons mean little when every pass differs
            self.stages = tuple(stage for stage in self.stages if stage.attack.name in ("apgd", "margin-pgd"))
        n = len(self.field.data)
        before = clock.seconds
        with drawing(seed, wanted=self.random):
            margins = self.field.goal.margin(self.field.model.predict(self.field.data.images))
        clock.reserve = JUDGINGS * (clock.seconds - before) * (JUDGE_DRAWS / ATTACK_DRAWS if self.random else 1.0)
        self.ledger = Ledger.begin(self.field.data.images, margins)
        self.broken_by = torch.full((n,), -1)
        self.first_break = torch.full((n,), -1)
        self.passes = torch.zeros(n, 2, dtype=torch.long)
        self.rows = torch.arange(n)
        self.stage = self.position = 0
        self.seconds = self.begun = 0.0
        self.parts: tuple[EvaluationPart, ...] = ()
        self.bounds: tuple[Bound, ...] = ()
        self.notes: tuple[str, ...] = ()

    @property
    def targets(self) -> Labels | None:
        """The targets of the images attacked, None where there are none."""
        return self.field.goal.labels if self.field.goal.targeted else None

    @property
    def bound(self) -> Rate:
        """The share of all images offered that is classified correctly and not broken yet."""
        return Rate(int((~self.ledger.reached).sum()), self.field.offered)

    def resume(self, saved: Saved) -> None:
        """Go on from what an earlier sitting left; only of the same question."""
        for what, same in (
            ("images", torch.equal(saved.index, self.field.data.index)),
            (f"model {self.digests[0]}", saved.model == self.digests[0]),
            (f"pixels and labels {self.digests[1]}", saved.data == self.digests[1]),
            (f"attack {specs.write(self.attack)}", saved.attack == specs.write(self.attack)),
            (f"seed {self.seed}", saved.seed == self.seed),
            ("targets", _equal(saved.targets, self.targets)),
        ):
            if not same:
                got = f"an evaluation of {saved.model} on {saved.data} with {saved.attack}, seed {saved.seed}"
                raise BadInput("evaluate", f"the run must hold the same {what}", got, "Use another folder.")
        self.ledger, self.broken_by, self.first_break = saved.ledger, saved.broken_by, saved.first_break
        self.passes, self.rows = saved.passes, saved.rows
        self.stage, self.position = saved.stage, saved.position
        self.seconds, self.begun = saved.seconds, saved.begun
        self.parts, self.bounds, self.notes = saved.parts, saved.bounds, saved.notes

    def conduct(self, clock: Clock, run: Run | None, tell: Tell) -> Evaluation:
        """Run the parts that are left until they are done, nothing stands, or the time is up."""
        ended, saved_at = "finished", clock.seconds
        try:
            with clock.watching(self.field.model), drawing(self.seed, wanted=self.random):
                for live in self._batches(clock):
                    tell(live)
                    if run is not None and clock.seconds - saved_at > SAVE_EVERY:
                        self._save(run)
                        saved_at = clock.seconds
        except TimeUp:
            ended = OUT_OF_TIME
        finally:
            self.seconds = clock.seconds
            if run is not None:
                self._save(run)
        with drawing(subseed(self.seed, 1, parts=1), wanted=self.random):
            result = self._result(ended, clock)
        if run is not None:
            catalogue.EVALUATION.save(run, result)
        return result

    def _batches(self, clock: Clock) -> Iterator[Live]:
        """Every part on the images it is due for, batch by batch; the state is whole at each yield."""
        size = self.field.batch if clock.budget is None else min(self.field.batch, FIRST_BATCH)
        while self.stage < len(self.stages) and self.bound.hits:
            stage = self.stages[self.stage]
            if self.position == 0:
                self.rows, self.begun = self.ledger.due(stage), clock.seconds
            while self.position < len(self.rows):
                yield self._live(stage, clock)
                at = clock.seconds
                batch = self.rows[self.position : self.position + size]
                self._attack(stage, batch)
                self.position += len(batch)
                self._note(stage, clock)
                if clock.budget is not None:  # batches so small that the clock has a say, so large that they are fast
                    each = (clock.seconds - at) / len(batch)
                    size = max(1, min(self.field.batch, int(clock.budget / SLICES / max(each, 1e-9))))
                yield self._live(stage, clock)
            self.parts += (self._part(clock.seconds - self.begun),)
            self.stage, self.position = self.stage + 1, 0

    def _part(self, seconds: float) -> EvaluationPart:
        """The part at work, as far as it is."""
        stage, broke = self.stages[self.stage], int((self.broken_by == self.stage).sum())
        return EvaluationPart(stage.label, specs.write(stage.attack), self.position, broke, seconds)

    def _attack(self, stage: EnsembleStage, batch: Tensor) -> None:
        """One part on one batch, judged in float32."""
        part = replace(self.field, data=self.field.data[batch], goal=self.field.goal[batch])
        outcome = part.run(stage.attack, Draws.keyed(subseed(self.seed, self.stage), part.data.index))
        self.notes = tuple(sorted({*self.notes, *outcome.notes}))
        logits = part.model.predict(outcome.images)
        reached = self._rate(outcome.images, part.goal) > 0.5 if self.random else part.goal.reached(logits)
        self.ledger.record(batch, outcome.images, reached, part.goal.margin(logits))
        self.broken_by[batch[reached]] = self.stage
        seen = torch.where(outcome.first_break < 0, outcome.forwards, outcome.first_break)
        self.first_break[batch[reached]] = (self.passes[batch, 0] + seen)[reached]
        self.passes[batch] += torch.stack([outcome.forwards, outcome.backwards], 1)

    def _rate(self, images: Images, goal: Goal) -> PerImage:
        """How often each image fools the model."""
        return fooling_rates(
            self.field.random or self.model, images, goal, draws=JUDGE_DRAWS if self.random else 1
        ).per_image

    def _note(self, stage: EnsembleStage, clock: Clock) -> None:
        if not self.bounds or self.bounds[-1].standing != self.bound.hits:
            self.bounds += (Bound(clock.seconds, self.bound.hits, stage.label),)

    def _live(self, stage: EnsembleStage, clock: Clock) -> Live:
        return Live(self.bound, stage.label, self.position, len(self.rows), clock.seconds, clock.left)

    def _save(self, run: Run) -> None:
        saved = Saved(
            model=self.digests[0],
            data=self.digests[1],
            attack=specs.write(self.attack),
            seed=self.seed,
            targets=self.targets,
            index=self.field.data.index,
            stage=self.stage,
            position=self.position,
            rows=self.rows,
            ledger=self.ledger,
            broken_by=self.broken_by,
            first_break=self.first_break,
            passes=self.passes,
            parts=self.parts,
            bounds=self.bounds,
            seconds=self.seconds,
            begun=self.begun,
            notes=self.notes,
        )
        catalogue.PROGRESS.save(run, saved)

    def _result(self, ended: str, clock: Clock) -> Evaluation:
        data, images, success = self.field.data, self.ledger.images, self.ledger.reached
        rate = self._rate(images, self.field.goal)
        survives: Mask = self._rate((images * 255).round() / 255, self.field.goal) > 0.5
        parts = (*self.parts, self._part(self.seconds - self.begun)) if self.position else self.parts
        broken_by, first_break, bounds = self.broken_by, self.first_break, self.bounds
        if self.random:
            success = success & (rate > 0.5)
            broken_by, first_break = (torch.where(success, kept, -1) for kept in (broken_by, first_break))
            parts = tuple(replace(part, broke=int((broken_by == k).sum())) for k, part in enumerate(parts))
            bounds = (*bounds, Bound(self.seconds, int((~success).sum()), CONFIRMED))
        rounds = [stage.round for stage in self.stages]
        if ended == "finished" and success.all():
            ended = "nothing left standing"
        elif ended == "finished" and any(k and not part.attacked for k, part in zip(rounds, parts, strict=False)):
            ended = "stopped by rule"
        black = [part for part in parts if part.spec.startswith(Square.name) and part.attacked]
        if flags.GRADIENT_FREE in self.flags:
            black = []  # nothing stood before it
        late = flags.after(sum(part.broke for part in black), black[0].attacked if black else 0)
        return Evaluation(
            attack=specs.write(self.attack),
            data=data.name,
            model=self.model.card.name,
            norm=self.attack.norm,
            eps=self.attack.eps,
            seed=self.seed,
            offered=self.field.offered,
            index=data.index,
            labels=data.labels,
            targets=self.targets,
            images=images,
            success=success,
            success_8bit=success & survives,
            rate=rate,
            distance=lp.norm(images - data.images, self.attack.norm),
            broken_by=broken_by,
            first_break=first_break,
            passes=self.passes,
            parts=parts,
            bounds=bounds,
            flags=self.flags + late,
            ended=ended,
            seconds=clock.seconds,
            digests=self.digests,
            notes=self.notes,
        )


def _equal(one: Tensor | None, other: Tensor | None) -> bool:
    return one is other or (one is not None and other is not None and torch.equal(one, other))
