"""What a study keeps about one-pixel attacks: which pixels and classes every image falls to, and paper 3's data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from pixelproof.attacks import AdversarialSet
from pixelproof.attacks.pixel import PerTarget, PixelSearch
from pixelproof.data import Dataset
from pixelproof.prove import OnePixelCertificate
from pixelproof.types import Images, Labels, Mask, PerImage, Rate


@dataclass(frozen=True, eq=False)
class PixelSurvey:
    """Pixels in every corner colour, on correctly classified images: one row per image, on the CPU.

    `complete`: every pixel was tried, else only the likeliest, and what was not reached may still be reachable.
    `vulnerable` are the pixels at which some colour fools the classifier (any wrong class), `targets` the wrong classes
    that some candidate was taken for. `margin`, `position` and `colour` belong to the candidate that comes closest to
    each class (largest other logit minus the class's: negative where the class is predicted). `seconds` is CPU time.
    """

    index: Tensor
    labels: Labels
    vulnerable: Bool[Tensor, "n h w"]
    targets: Bool[Tensor, "n k"]
    margin: Float[Tensor, "n k"]
    position: Int[Tensor, "n k"]
    colour: Float[Tensor, "n k ch"]
    candidates: Int[Tensor, " n"]
    seconds: PerImage
    complete: Mask
    note: str

    @classmethod
    def of(cls, found: PixelSearch, data: Dataset) -> PixelSurvey:
        """The facts of a search of `data`."""
        targets = found.targets.clone()
        targets[torch.arange(len(data)), data.labels] = False
        near: PerTarget = found.per_target
        return cls(
            index=data.index,
            labels=data.labels,
            vulnerable=found.vulnerable,
            targets=targets,
            margin=near.margin,
            position=near.position,
            colour=near.colour,
            candidates=found.candidates,
            seconds=found.seconds,
            complete=found.complete,
            note=found.note,
        )

    @classmethod
    def joined(cls, parts: Sequence[PixelSurvey]) -> PixelSurvey:
        """Several surveys of one classifier as one."""
        names = [field.name for field in fields(cls) if field.name != "note"]
        return cls(**{name: torch.cat([getattr(part, name) for part in parts]) for name in names}, note=parts[0].note)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def attacked(self) -> Mask:
        """Images for which some one-pixel change fools the classifier."""
        return self.targets.any(1)

    @property
    def untargeted(self) -> Rate:
        """How many images fall to some class."""
        return Rate(int(self.attacked.sum()), len(self))

    @property
    def targeted(self) -> Rate:
        """How many pairs of an image and a wrong class are reached."""
        return Rate(int(self.targets.sum()), len(self) * (self.targets.shape[1] - 1))

    def images(self, clean: Images, targets: Labels) -> Images:
        """`clean` (the images of this survey's rows) with the pixel changed that comes closest to each target."""
        return PerTarget(self.margin, self.position, self.colour).images(clean, targets)

    def rows(self, chosen: Tensor) -> PixelSurvey:
        """The survey of some rows."""
        names = [field.name for field in fields(self) if field.name != "note"]
        return PixelSurvey(**{name: getattr(self, name)[chosen] for name in names}, note=self.note)


@dataclass(frozen=True, eq=False)
class CertificateRecord:
    """The one-pixel certificate of the first correctly classified test images, in file order.

    `offered` counts the images looked at to find them, so accuracy over all of those is a share of it. `budget` is CPU
    seconds per image.
    """

    index: Tensor
    labels: Labels
    certificate: OnePixelCertificate
    offered: int
    budget: float

    @property
    def robust_accuracy(self) -> Rate:
        """Right and not attacked, of all images looked at: an upper bound."""
        return Rate(self.left_standing.hits, self.offered)

    @property
    def left_standing(self) -> Rate:
        """Not attacked, of the correctly classified images: an upper bound."""
        return self.certificate.robust_accuracy

    @property
    def certified_accuracy(self) -> Rate:
        """Right and proven, of all images looked at: a lower bound."""
        return Rate(self.proven.hits, self.offered)

    @property
    def proven(self) -> Rate:
        """Proven, of the correctly classified images: a lower bound."""
        return self.certificate.certified_accuracy


@dataclass(frozen=True, eq=False)
class RepairRecord:
    """Detection by repair: an alarm wherever repairing one of the pixels that stick out most flips the label.

    `caught`, `located` and `restored` are shares of the twins of the validation half, `false_on_twins` of their clean
    images, `false_alarms` of other correctly classified test images. `fooled` and `unseen` belong to attacks that know
    the detector and change so many `pixels`: shares of images that fall to an unknowing attack. `seconds`: CPU time
    per image.
    """

    caught: Rate
    false_alarms: Rate
    false_on_twins: Rate
    located: Rate
    restored: Rate
    auroc: float
    seconds: float
    pixels: tuple[int, ...]
    fooled: tuple[Rate, ...]
    unseen: tuple[Rate, ...]


@dataclass(frozen=True, eq=False)
class PixelSet:
    """Paper 3's data: correctly classified test images and their successful one-pixel twins, in two halves by image.

    Row i of every tensor is about one image: `found.clean[i]` and its twin `found.images[i]` (8-bit colours, stored as
    judged), its position `found.index[i]` in the original test file, its source label `found.labels[i]`, the target
    class `found.goal.labels[i]` that the twin is taken for, the changed pixel `position[i]` (row * width + column) and
    its `colour[i]` in [0, 1]. `validation[i]` says in which half the image is: an image and its twin never straddle the
    halves, and each half has as many clean as attacked examples. Load it with `results.PIXEL_SET.load(run)`.
    """

    found: AdversarialSet
    position: Int[Tensor, " n"]
    colour: Float[Tensor, "n ch"]
    validation: Mask

    def __len__(self) -> int:
        return len(self.validation)

    def half(self, name: Literal["tuning", "validation"]) -> PixelSet:
        """One half, as a set of its own."""
        return self.only(self.validation if name == "validation" else ~self.validation)

    def only(self, keep: Mask) -> PixelSet:
        """The set of some of its images."""
        return PixelSet(self.found[keep], self.position[keep], self.colour[keep], self.validation[keep])

    def clean(self, classes: tuple[str, ...]) -> Dataset:
        """The clean images as a data set, with their positions in the original file."""
        found = self.found
        return Dataset(found.data, found.clean, found.labels, classes, found.index, "test")

    def examples(self) -> tuple[Images, Mask]:
        """All examples, the clean ones first, and which of them are attacked: row i and row n + i are twins."""
        attacked = torch.arange(2 * len(self)) >= len(self)
        return torch.cat([self.found.clean, self.found.images]), attacked
