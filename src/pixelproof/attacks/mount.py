"""mount: the only place that selects, batches, counts, verifies and judges an attack."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from pixelproof import lp, specs
from pixelproof.attacks.attack import Attack
from pixelproof.attacks.result import AdversarialSet
from pixelproof.attacks.watch import Watched
from pixelproof.data import Dataset
from pixelproof.draws import Draws
from pixelproof.errors import BadInput, BrokenPromise
from pixelproof.models import Classifier, frozen
from pixelproof.types import Goal, Images, Labels, Norm, check_labels

RANGE_TOLERANCE = 1e-6
BUDGET_TOLERANCE = 2e-6
BATCH_VALUES = 2**19  # values of all images in a batch; attacks pass it to the model in smaller parts
GPU_BATCH_VALUES = 2**24
BATCH_SIZES = (32, 1024)

Progress = Callable[[int, int], None]


def mount(
    attack: Attack,
    model: Classifier,
    data: Dataset,
    *,
    targets: Labels | None = None,
    seed: int = 0,
    batch: int | None = None,
    eight_bit: bool = False,
    progress: Progress | None = None,
) -> AdversarialSet:
    """Attack every correctly classified image of `data` and judge the outcome.

    `targets` (one label per image of `data`) makes the attack targeted. `eight_bit` rounds each image to 8 bits,
    towards the clean image, before it is judged. `batch` defaults to what is fastest on the device; the result does
    not depend on it, nor on the order of the images. `progress` is told (images done, images in all).

    Raises BadInput for data that does not fit the model, and BrokenPromise when the attack leaves range or budget.
    """
    field = Field.of(model, data, targets, batch)
    outcome = field.run(attack, Draws.keyed(seed, field.data.index), eight_bit=eight_bit, progress=progress)
    return field.judge(outcome, attack, seed)


@dataclass(frozen=True, eq=False)
class Outcome:
    """What came back from an attack: images, passes and time, not yet judged."""

    images: Images
    first_break: Tensor
    forwards: Tensor
    backwards: Tensor
    seconds: float


@dataclass(frozen=True, eq=False)
class Field:
    """The correctly classified images of a data set, with what an attacker wants from each: where attacks are run."""

    model: Classifier
    data: Dataset
    goal: Goal
    offered: int
    batch: int

    @classmethod
    def of(cls, model: Classifier, data: Dataset, targets: Labels | None, batch: int | None) -> Field:
        """Check that data, targets and model fit, and keep what the model gets right."""
        who = f"mount on {data.name}"
        check_labels(who, data.labels, n=len(data), classes=len(model.card.classes))
        if data.shape != model.card.input_shape:
            raise BadInput(who, f"{model.card.name} expects images {model.card.input_shape}", data.shape)
        if targets is not None:
            check_labels(f"{who}, targets", targets, n=len(data), classes=len(model.card.classes))
            if (targets == data.labels).any():
                raise BadInput(
                    who, "a target must differ from the label", f"{int((targets == data.labels).sum())} equal"
                )
        if batch is not None and batch < 1:
            raise BadInput(who, "batch must be at least 1", batch)
        size = batch or _batch(model)
        correct = torch.cat([model.predict(part.images).argmax(1) == part.labels for part in data.batches(1000)])
        if not correct.any():
            raise BadInput(
                who, "at least one correctly classified image is needed", f"0 of {len(data)}", "Train first."
            )
        goal = Goal(data.labels[correct]) if targets is None else Goal(targets[correct], targeted=True)
        return cls(model, data[correct], goal, len(data), size)

    def run(
        self, attack: Attack, draws: Draws, *, eight_bit: bool = False, progress: Progress | None = None
    ) -> Outcome:
        """The attack's images for the whole field, batch by batch."""
        found, counts = [], []
        started = time.perf_counter()
        with frozen(self.model):
            for start in range(0, len(self.data), self.batch):
                rows = torch.arange(start, min(start + self.batch, len(self.data)))
                clean, goal = self.data[rows].images.to(self.model.device), self.goal[rows].to(self.model.device)
                watched = Watched(self.model, goal)
                images = attack(watched, clean, goal, draws[rows]).detach()
                verify(attack.name, clean, images, attack.norm, attack.eps)
                images = round_towards(clean, images) if eight_bit else images
                found.append(images.cpu())
                tally = watched.tally
                counts.append(torch.stack([tally.first_break, tally.forwards, tally.backwards]).cpu())
                if progress:
                    progress(min(start + self.batch, len(self.data)), len(self.data))
        seconds = time.perf_counter() - started
        first_break, forwards, backwards = torch.cat(counts, dim=1)
        return Outcome(torch.cat(found), first_break, forwards, backwards, seconds)

    def judge(
        self, outcome: Outcome, attack: Attack, seed: int, *, before: AdversarialSet | None = None
    ) -> AdversarialSet:
        """The outcome as an AdversarialSet: success decided here, in float32 and once more in 8 bits.

        Images that are the same as in `before`, another set of this field, are not judged twice.
        """
        clean, images = self.data.images, outcome.images
        if before is None:
            fresh = torch.ones(len(images), dtype=torch.bool)
            logits = torch.empty(len(images), len(self.model.card.classes))
            success_8bit = torch.zeros(len(images), dtype=torch.bool)
        else:
            fresh = (images != before.images).flatten(1).any(1)
            logits, success_8bit = before.logits.clone(), before.success_8bit.clone()
        if fresh.any():
            logits[fresh] = self.model.predict(images[fresh])
        success = self.goal.reached(logits)
        success_8bit &= ~fresh
        saved = fresh & success
        if saved.any():
            rounded = (images[saved] * 255).round() / 255
            success_8bit[saved] = self.goal[saved].reached(self.model.predict(rounded))
        return AdversarialSet(
            attack=specs.write(attack),
            data=self.data.name,
            model=self.model.card.name,
            seed=seed,
            norm=attack.norm,
            eps=attack.eps,
            offered=self.offered,
            index=self.data.index,
            clean=clean,
            goal=self.goal,
            labels=self.data.labels,
            images=outcome.images,
            logits=logits,
            success=success,
            success_8bit=success_8bit,
            distance=lp.distances(clean, outcome.images),
            first_break=outcome.first_break,
            forwards=outcome.forwards,
            backwards=outcome.backwards,
            seconds=outcome.seconds,
        )


def _batch(model: Classifier) -> int:
    values = GPU_BATCH_VALUES if model.device.type == "cuda" else BATCH_VALUES
    low, high = BATCH_SIZES
    return min(high, max(low, values // prod(model.card.input_shape)))


def verify(who: str, clean: Images, images: Tensor, norm: Norm, eps: float | None) -> None:
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
    over = size > eps * (1 + BUDGET_TOLERANCE) + BUDGET_TOLERANCE
    if over.any():
        row = int(size.argmax())
        raise BrokenPromise(who, f"must stay within {norm} {eps:.8g}", f"{size[row]:.8g} for image {row} of its batch")


def round_towards(clean: Images, images: Images) -> Images:
    """8-bit images no farther from the clean ones than given: each value is rounded towards the clean value."""
    up = (images < clean).float()
    levels = images * 255
    return (up * (levels - 1e-4).ceil() + (1 - up) * (levels + 1e-4).floor()).clamp(0, 255) / 255
