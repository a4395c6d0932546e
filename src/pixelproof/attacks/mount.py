"""mount: the only place that selects, batches, counts, verifies and judges an attack."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod

import torch
from torch import Tensor

from pixelproof import lp, specs
from pixelproof.attacks.attack import Attack, check_budget, used, within
from pixelproof.attacks.result import AdversarialSet
from pixelproof.attacks.stochastic import (
    JUDGE_DRAWS,
    Untiring,
    drawing,
    fooling_rates,
    in_expectation,
)
from pixelproof.attacks.watch import Watched
from pixelproof.data import Dataset
from pixelproof.draws import Draws, check_seed
from pixelproof.errors import BadInput, BrokenPromise
from pixelproof.models import Classifier, frozen
from pixelproof.models.classes import NONE_RIGHT, check_same
from pixelproof.types import Goal, Images, Labels, Mask, Norm, PerImage, check_labels

RANGE_TOLERANCE = 1e-6
BUDGET_TOLERANCE = 2e-6
BATCH_VALUES = 2**19  # values of all images in a batch; attacks pass it to the model in smaller parts
GPU_BATCH_VALUES = 2**24
BATCH_SIZES = (32, 1024)

LOOKED_AT = 50  # images on which passes are compared
JUDGE_BATCH = 1000  # images held in copies at a time while a result is judged

Progress = Callable[[int, int], None]


def mount(
    attack: Attack,
    model: Classifier,
    data: Dataset,
    *,
    targets: Labels | None = None,
    eps: PerImage | None = None,
    seed: int = 0,
    batch: int | None = None,
    eight_bit: bool = False,
    progress: Progress | None = None,
) -> AdversarialSet:
    """Attack every correctly classified image of `data` and judge the outcome.

    `targets` (one label per image of `data`) makes the attack targeted. `eps` (one per image of `data`) gives every
    image its own budget in place of the attack's; the set then names the largest. `eight_bit` rounds each image to 8
    bits, towards the clean image, before it is judged. `batch` defaults to what is fastest on the device; the result
    does not depend on it, nor on the order of the images. `progress` is told (images done, images in all).

    A model whose passes differ is attacked in expectation and judged by many draws (`AdversarialSet.rate`); its
    numbers are repeatable from the seed, but they do depend on batch size and order.

    Raises BadInput for data that does not fit the model and for a seed outside 0..2**63 - 1, and BrokenPromise when
    the attack leaves range or budget.
    """
    _check_kinds(attack, model, data)
    check_seed(seed)
    if targets is not None and not attack.targetable:
        raise BadInput(attack.name, "is untargeted", "targets", "Use pgd for targeted attacks.")
    field = Prepared.of(model, data, targets, batch, eps=eps)
    if eps is not None:
        if attack.kind == "fixed":
            raise BadInput(attack.name, "its budget follows from other settings", "a budget per image")
        check_budget(attack.name, float(eps.max()), attack.norm)
        attack = within(attack, float(eps.max()))
    with field.seeded(seed):
        outcome = field.run(attack, Draws.keyed(seed, field.data.index), eight_bit=eight_bit, progress=progress)
        return field.judge(outcome, attack, seed)


def _check_kinds(attack: object, model: object, data: object) -> None:
    """Refuse a spec, a bare network and a pair of tensors where an attack, a Classifier and a Dataset are due."""
    if isinstance(attack, str):
        raise BadInput("mount", "expected an attack", f"the text '{attack}'", f"Write attacks.parse('{attack}').")
    if not isinstance(attack, Attack):
        raise BadInput("mount", "expected an attack", type(attack).__name__, "For example attacks.PGD(eps=0.1).")
    specs.check_single(attack)
    if not isinstance(model, Classifier):
        raise BadInput("mount", "expected a Classifier", type(model).__name__, "Wrap it with models.wrap first.")
    if not isinstance(data, Dataset):
        advice = "Write data.Dataset('mine', images, labels, model.card.classes)."
        raise BadInput("mount", "expected a Dataset", f"a {type(data).__name__}", advice)


@dataclass(frozen=True, eq=False)
class Outcome:
    """What came back from an attack: images, passes and time, not yet judged."""

    images: Images
    first_break: Tensor
    forwards: Tensor
    backwards: Tensor
    seconds: float
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Prepared:
    """The correctly classified images of a data set, with what an attacker wants from each: where attacks are run.

    A model that answers differently each time is found here: it is kept as `random`, and `model` is its expectation.
    """

    model: Classifier
    data: Dataset
    goal: Goal
    offered: int
    batch: int
    random: Classifier | None = None

    @classmethod
    def of(
        cls,
        model: Classifier,
        data: Dataset,
        targets: Labels | None,
        batch: int | None,
        *,
        eps: PerImage | None = None,
    ) -> Prepared:
        """Check that data, targets and model fit, class by class, and keep what the model gets right."""
        who = f"mount on {data.name}"
        check_labels(who, data.labels, n=len(data), classes=len(model.card.classes))
        if data.shape != model.card.input_shape:
            raise BadInput(who, f"{model.card.name} expects images {model.card.input_shape}", data.shape)
        check_same(model, data)
        if targets is not None:
            check_labels(f"{who}, targets", targets, n=len(data), classes=len(model.card.classes))
            if (targets == data.labels).any():
                raise BadInput(
                    who, "a target must differ from the label", f"{int((targets == data.labels).sum())} equal"
                )
        if eps is not None and (len(eps) != len(data) or not (torch.isfinite(eps) & (eps >= 0)).all()):
            raise BadInput(
                who, f"eps must hold one finite number >= 0 for each of {len(data)} images", tuple(eps.shape)
            )
        if batch is not None and batch < 1:
            raise BadInput(who, "batch must be at least 1", batch)
        size = batch or _batch(model)
        model, random = in_expectation(model, data[: min(len(data), LOOKED_AT)].images)
        with drawing(0, wanted=random is not None):
            correct = torch.cat([model.predict(part.images).argmax(1) == part.labels for part in data.batches(1000)])
        if not correct.any():
            raise BadInput(who, "at least one correctly classified image is needed", f"0 of {len(data)}", NONE_RIGHT)
        budgets = None if eps is None else eps[correct].float()
        wanted = data.labels if targets is None else targets
        goal = Goal(wanted[correct], targets is not None, budgets)
        return cls(model, data[correct], goal, len(data), size, random)

    def seeded(self, seed: int) -> AbstractContextManager[None]:
        """Inside, the draws of a random model come from `seed`."""
        return drawing(seed, wanted=self.random is not None)

    @cached_property
    def clean(self) -> Images:
        """The images as floats, made once and shared by every set that is judged here."""
        return self.data.images

    def run(
        self, attack: Attack, draws: Draws, *, eight_bit: bool = False, progress: Progress | None = None
    ) -> Outcome:
        """The attack's images for the whole field, batch by batch.

        On a random model an attack within a budget does not stop at a success, which may be a lucky draw.
        """
        n = len(self.data)
        found, counts = torch.empty(n, *self.data.shape), torch.zeros(3, n, dtype=torch.long)
        notes: set[str] = set()
        tireless = self.random is not None and attack.kind == "budget"
        started = time.perf_counter()
        with frozen(self.model):
            for start in range(0, n, self.batch):
                rows = torch.arange(start, min(start + self.batch, n))
                clean, goal = self.data[rows].images.to(self.model.device), self.goal[rows].to(self.model.device)
                watched = Watched(self.model, goal)
                wanted = Untiring.of(goal) if tireless else goal  # the watch keeps the true one, for the first break
                images = attack(watched, clean, wanted, draws[rows]).detach()
                verify(attack.name, clean, images, attack.norm, attack.eps if goal.eps is None else goal.eps)
                found[rows] = (round_towards(clean, images) if eight_bit else images).cpu()
                tally = watched.tally
                notes |= tally.notes
                counts[:, rows] = torch.stack([tally.first_break, tally.forwards, tally.backwards]).cpu()
                if progress:
                    progress(int(rows[-1]) + 1, n)
        seconds = time.perf_counter() - started
        first_break, forwards, backwards = counts
        return Outcome(found, first_break, forwards, backwards, seconds, tuple(sorted(notes)))

    def judge(
        self, outcome: Outcome, attack: Attack, seed: int, *, before: AdversarialSet | None = None
    ) -> AdversarialSet:
        """The outcome as an AdversarialSet: success decided here, in float32 and once more in 8 bits.

        Images that are the same as in `before`, another set of this field, are not judged twice.
        """
        clean, images = self.clean, outcome.images
        logits = torch.empty(len(images), len(self.model.card.classes)) if before is None else before.logits.clone()
        success_8bit = torch.zeros(len(images), dtype=torch.bool) if before is None else before.success_8bit.clone()
        for start in range(0, len(images), JUDGE_BATCH):
            rows = torch.arange(start, min(start + JUDGE_BATCH, len(images)))
            if before is not None:
                rows = rows[(images[rows] != before.images[rows]).flatten(1).any(1)]
            if not len(rows):
                continue
            logits[rows] = self.model.predict(images[rows])
            fooled = self.goal[rows].reached(logits[rows])
            success_8bit[rows] = fooled
            if fooled.any():
                saved = rows[fooled]
                rounded = (images[saved] * 255).round() / 255
                success_8bit[saved] = self.goal[saved].reached(self.model.predict(rounded))
        success, rate = self.goal.reached(logits), None
        if self.random is not None:
            rate, success_8bit = self._rated(images, before)
            success = rate > 0.5
        parts = [
            lp.distances(clean[start : start + JUDGE_BATCH], images[start : start + JUDGE_BATCH])
            for start in range(0, len(images), JUDGE_BATCH)
        ]
        distance = {kind: torch.cat([part[kind] for part in parts]) for kind in parts[0]}
        return AdversarialSet(
            attack=specs.write(attack),
            data=self.data.name,
            model=(self.random or self.model).card.name,
            seed=seed,
            norm=attack.norm,
            eps=attack.eps,
            offered=self.offered,
            index=self.data.index,
            clean=clean,
            goal=self.goal,
            labels=self.data.labels,
            images=images,
            logits=logits,
            success=success,
            success_8bit=success_8bit,
            distance=distance,
            first_break=outcome.first_break,
            forwards=outcome.forwards,
            backwards=outcome.backwards,
            seconds=outcome.seconds,
            rate=rate,
            notes=outcome.notes,
            used=specs.write(used(attack, self.model.device)),
        )

    def fooled(self, images: Images) -> Mask:
        """Where images reach their goals: for a random model, in more than half of many passes."""
        if self.random is not None:
            return self._rate(images) > 0.5
        return self.goal.reached(self.model.predict(images))

    def _rated(self, images: Images, before: AdversarialSet | None) -> tuple[PerImage, Mask]:
        """How often each image fools the random model, and whether it usually does, rounded to 8 bits as well."""
        if before is None or before.rate is None:
            rate = self._rate(images)
            return rate, (rate > 0.5) & (self._rate((images * 255).round() / 255) > 0.5)
        rate, usually = before.rate.clone(), before.success_8bit.clone()
        rows = (images != before.images).flatten(1).any(1).nonzero()[:, 0]
        if len(rows):  # new draws would only make images rise and fall that are the same
            part = replace(self, data=self.data[rows], goal=self.goal[rows])
            rate[rows], usually[rows] = part._rated(images[rows], None)
        return rate, usually

    def _rate(self, images: Images) -> PerImage:
        """In what share of many passes of the random model each image reaches its goal."""
        assert self.random is not None
        return fooling_rates(self.random, images, self.goal, draws=JUDGE_DRAWS).per_image


def _batch(model: Classifier) -> int:
    values = GPU_BATCH_VALUES if model.device.type == "cuda" else BATCH_VALUES
    low, high = BATCH_SIZES
    return min(high, max(low, values // prod(model.card.input_shape)))


def verify(who: str, clean: Images, images: Tensor, norm: Norm, eps: PerImage | float | None) -> None:
    """Raise BrokenPromise when a returned image is not finite, leaves [0, 1] or its budget; nothing is clipped here."""
    if images.shape != clean.shape:
        raise BrokenPromise(who, f"must return images of shape {tuple(clean.shape)}", tuple(images.shape))
    outside = torch.maximum(-images, images - 1).flatten(1).amax(1)
    wrong = ~(outside <= RANGE_TOLERANCE)
    if wrong.any():
        row = int(wrong.nonzero()[0])
        raise BrokenPromise(who, "must return finite images in [0, 1]", f"image {row} of its batch outside")
    if eps is None:
        return
    size = lp.norm(images - clean, norm)
    eps = torch.as_tensor(eps, dtype=size.dtype, device=size.device).expand_as(size)
    over = size > eps * (1 + BUDGET_TOLERANCE) + BUDGET_TOLERANCE
    if over.any():
        row = int((size - eps).argmax())
        raise BrokenPromise(
            who, f"must stay within {norm} {eps[row]:.8g}", f"{size[row]:.8g} for image {row} of its batch"
        )


def round_towards(clean: Images, images: Images) -> Images:
    """8-bit images no farther from the clean ones than given: each value is rounded towards the clean value."""
    up = (images < clean).float()
    levels = images * 255
    return (up * (levels - 1e-4).ceil() + (1 - up) * (levels + 1e-4).floor()).clamp(0, 255) / 255
