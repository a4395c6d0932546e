"""AdversarialSet: what an attack did to each image, judged by the harness and not by the attack."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch
from torch import Tensor

from pixelproof.types import Goal, Images, Labels, Logits, Mask, Norm, PerImage, Rate


@dataclass(frozen=True, eq=False)
class AdversarialSet:
    """Adversarial images with the facts about each: every tensor has one row per attacked image, on the CPU.

    Only images that the model classified correctly are attacked; `offered` counts all that were given: an image
    misclassified without an attack is lost before it begins. `distance`
    measures the returned image, whether or not it succeeded. `first_break` is the number of the forward pass that
    first saw the goal reached, -1 when none did. `success` is re-judged in float32 after the attack, `success_8bit`
    once more after rounding to 8 bits, as saving to an image file does. The sets of one sweep share `forwards`,
    `backwards` and `seconds`: each gives what the whole curve cost.

    Against a model that answers differently each time, `rate` is the share of `stochastic.JUDGE_DRAWS` passes in which
    each image reaches the goal, and success means more than half of them; else `rate` is None. `notes` are sentences
    on how the attack went where it did not go as usual: parts that were left out, logits that were rescaled.
    `used` is `attack` with the value of every setting that ran, also of those that follow from others or the device.
    """

    attack: str
    data: str
    model: str
    seed: int
    norm: Norm
    eps: float | None
    offered: int
    index: Tensor
    clean: Images
    goal: Goal
    labels: Labels
    images: Images
    logits: Logits
    success: Mask
    success_8bit: Mask
    distance: dict[str, PerImage]
    first_break: Tensor
    forwards: Tensor
    backwards: Tensor
    seconds: float
    rate: PerImage | None = None
    notes: tuple[str, ...] = ()
    used: str = ""

    def __len__(self) -> int:
        return len(self.success)

    def __getitem__(self, rows: Tensor) -> AdversarialSet:
        """The attack on some of the images (a mask or positions); `offered` counts those alone."""
        kept = {
            field.name: getattr(self, field.name)[rows]
            for field in dataclasses.fields(self)
            if isinstance(getattr(self, field.name), Tensor | Goal)
        }
        distance = {norm: values[rows] for norm, values in self.distance.items()}
        return dataclasses.replace(self, **kept, distance=distance, offered=len(kept["index"]))

    def __repr__(self) -> str:
        said = "".join(f"; {note}" for note in self.notes)
        return f"AdversarialSet({self.attack} on {self.data}: robust accuracy {self.robust_accuracy}{said})"

    @property
    def robust_accuracy(self) -> Rate:
        """The share of all images offered that the model classifies correctly and that the attack did not break.

        An upper bound on what any attack in the budget would leave; counted as AutoAttack and RobustBench do.
        """
        return Rate(int((~self.success).sum()), self.offered)

    @property
    def left_standing(self) -> Rate:
        """The share of the correctly classified images, those attacked, that did not break, as some papers count."""
        return Rate(int((~self.success).sum()), len(self))

    @property
    def clean_accuracy(self) -> Rate:
        """The share of all images offered that the model classifies correctly."""
        return Rate(len(self), self.offered)

    @property
    def expected_robust_accuracy(self) -> float:
        """The share of all images offered that one more pass would be expected to get right."""
        return float((1 - (self.success.float() if self.rate is None else self.rate)).sum()) / self.offered

    @property
    def class_counts(self) -> dict[int, int]:
        """How many attacked images each class has, by label."""
        counts = torch.bincount(self.labels)
        return {label: int(count) for label, count in enumerate(counts.tolist()) if count}

    @property
    def predicted(self) -> Labels:
        """The class the model gives to each returned image."""
        return self.logits.argmax(1)

    def minimal(self, norm: Norm) -> PerImage:
        """The distance at which each image is known to break; infinite where the attack failed."""
        return torch.where(self.success, self.distance[norm], torch.inf)
