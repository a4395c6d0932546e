"""Detection by repair: if putting one pixel right changes the answer, that pixel was probably put wrong.

Every pixel in turn is replaced by the median of its neighbours. Incremental evaluation makes all repairs of a 32 x 32
image cost about as much as a hundred forward passes.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from pixelproof.attacks import AdversarialSet
from pixelproof.attacks.pixel import Executor, executor
from pixelproof.attacks.pixel.margins import margins
from pixelproof.data import Dataset
from pixelproof.detect.guards.guard import NONE, Calibration, Part, SameModel, Verdict, divide
from pixelproof.detect.guards.scored import check_fit
from pixelproof.detect.guards.settings import MOST, check_settings, respelled, spelled
from pixelproof.models import Classifier, frozen
from pixelproof.specs import derived
from pixelproof.types import Images, Labels, PerImage, check_images

MANY = 1_000_000  # repairs in a calibration above which it is said what they cost


@dataclass(frozen=True, eq=False)
class RepairGuard:
    """The guard of repairs; `note` says how repairs are evaluated."""

    calibration: Calibration
    model: SameModel = field(repr=False)
    engine: Executor = field(repr=False)
    any_flip: bool
    most: int | None = None
    spec: str = ""

    @property
    def note(self) -> str:
        """How repairs are evaluated."""
        return self.engine.note

    def __call__(self, model: Classifier, images: Images) -> Verdict:
        """Scores, alarms, and for each image whose label flips the pixel and the class that the repair brings back."""
        self.model.check(Repair.name, model)
        check_images(Repair.name, images)
        with frozen(model):
            found = repaired(model, self.engine, images, self.most)
        flipped = found.label != found.before
        none = torch.full_like(found.label, NONE)
        recovered = torch.where(flipped, found.label, none)
        located = torch.where(flipped, found.position, none)
        if not self.any_flip:
            verdict = self.calibration.judge(-found.margin, recovered)
            return Verdict(verdict.score, verdict.threshold, verdict.alarm, recovered, verdict.p_value, located=located)
        p_value = self.calibration.p_value(-found.margin)
        return Verdict(-found.margin, 0.0, -found.margin > 0, recovered, p_value, located=located)

    def calibrated(self, model: Classifier, clean: Dataset, *, rate: float | None = None) -> RepairGuard:
        """The same guard with threshold and p-values from other clean images, which the model was not trained on."""
        self.model.check(Repair.name, model)
        with frozen(model):
            scores = -repaired(model, self.engine, clean.images, self.most).margin
        calibration = Calibration(scores, rate or self.calibration.rate)
        spec = respelled(self.spec, "calibrate", len(scores))
        return replace(
            self,
            calibration=calibration,
            spec=spec if self.any_flip else respelled(spec, "rate", calibration.rate),
        )


@dataclass(frozen=True)
class Repair:
    """Alarms for images that one repaired pixel makes the model see differently, and names the pixel and the class.

    The score is minus the smallest margin that the predicted class keeps under any repair: above 0, some repair flips
    the label. `rate` sets the threshold on at most `calibrate` clean images; without it (`rate=none`) the threshold is
    0: any flip is an alarm. The verdict's `recovered` class and `located` pixel are those of the strongest flip.
    `most`: repair only this many pixels of each image, those furthest from their neighbours' median (default: all).
    """

    rate: float | None = 0.05
    calibrate: int = 400
    most: int | None = field(default=None, metadata=derived("every pixel of the image"))

    name: ClassVar[str] = "repair"
    parts: ClassVar[tuple[Part, ...]] = (RepairGuard,)

    def __post_init__(self) -> None:
        check_settings(self, {"calibrate": (1, MOST), "most": (1, MOST)})

    def fit(
        self, model: Classifier, clean: Dataset, attacked: AdversarialSet | None, rng: torch.Generator
    ) -> RepairGuard:
        """A guard; there is nothing to fit but the threshold and the p-values."""
        check_fit(self.name, model, clean)
        seed = int(torch.randint(2**31, (1,), generator=rng))
        held = divide(clean, rng)[1].sample(self.calibrate, seed)
        pixels = clean.shape[1] * clean.shape[2]
        warn_of_cost(len(held), min(self.most or pixels, pixels))
        with frozen(model):
            engine = executor(model, held.images[0].to(model.device))
            scores = -repaired(model, engine, held.images, self.most).margin
        rate = 1 / (len(held) + 1) if self.rate is None else self.rate  # the rule without a rate uses p-values only
        used = replace(self, most=min(self.most or pixels, pixels), calibrate=len(held))
        return RepairGuard(
            Calibration(scores, rate), SameModel(model), engine, self.rate is None, self.most, spelled(used)
        )


def warn_of_cost(images: int, pixels: int) -> None:
    """Warn of a calibration that takes minutes or hours: its cost grows with the number of pixels."""
    if images * pixels > MANY:
        what = f"{Repair.name}: every one of {images} images is judged with each of {pixels} pixels repaired in turn"
        warnings.warn(f"{what}, and so is every image later; fewer: repair:most=256,calibrate=100", stacklevel=3)


@dataclass(frozen=True, eq=False)
class Repaired:
    """Per image the repair that lowers the predicted class's margin most: margin, pixel, and the labels around it."""

    margin: PerImage
    position: Int[Tensor, " n"]
    before: Labels
    label: Labels


def repaired(model: Classifier, engine: Executor, images: Images, most: int | None = None) -> Repaired:
    """Every single-pixel repair of every image, or those of its `most` outlying pixels; row * width + column."""
    rows = []
    for image in images:
        scene = engine.focus(image.to(model.device))
        before = int(scene.clean.argmax())
        medians = neighbour_medians(image)
        places = outlying(image, medians, most)
        logits = scene.logits(places, medians[places][:, None].to(model.device))[:, 0].cpu()
        left = margins(logits, before, False)
        place = int(left.argmin())
        rows.append((float(left[place]), int(places[place]), before, int(logits[place].argmax())))
    margin, position, label_before, label = zip(*rows, strict=True)
    return Repaired(torch.tensor(margin), *(torch.tensor(part) for part in (position, label_before, label)))


def outlying(image: Float[Tensor, "ch h w"], medians: Float[Tensor, "p ch"], most: int | None) -> Int[Tensor, " q"]:
    """The pixels furthest (largest channel) from their neighbours' median, or all pixels in their order."""
    if most is None or most >= len(medians):
        return torch.arange(len(medians))
    return (image.flatten(1).t() - medians).abs().amax(1).topk(most).indices


def neighbour_medians(image: Float[Tensor, "ch h w"]) -> Float[Tensor, "p ch"]:
    """For every pixel the lower median, per channel, of its up to eight neighbours."""
    padded = F.pad(image[None], (1, 1, 1, 1), value=torch.nan)
    around = F.unfold(padded, 3).view(len(image), 9, -1)
    others = around[:, [k for k in range(9) if k != 4]]
    middle: Tensor = others.nanmedian(1).values
    return torch.where(middle.isnan(), image.flatten(1), middle).t()
