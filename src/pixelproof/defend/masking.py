"""Feature masking: hide features at random while the network learns, and at test if asked (paper 2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch

from pixelproof import masks
from pixelproof.data import Dataset
from pixelproof.defend.defence import Role, Setting, TrainingPart, check_share, unchanged
from pixelproof.defend.harden import Hardening
from pixelproof.draws import check_seed, numpy_rng
from pixelproof.errors import BadInput
from pixelproof.masks import Fill, Noise, Pattern, Per, Tape, generate_mask
from pixelproof.models import Classifier, Recipe, Step
from pixelproof.models.preprocessors import Masked
from pixelproof.types import Images

When = Literal["train", "test", "both"]
GOLDEN = 40_503  # an odd number near 2^16 / golden ratio spreads the images over the tape


@dataclass(frozen=True)
class Mask:
    """A share `ratio` of each image replaced by `fill` (a value in [0, 1], mean, noise, blur or distort).

    `when` and `fill` decide the result and so have no default. Each image gets a new mask each epoch; `variability`
    below 1 is the share of images that do, the others keep one of their own. "fixed" is one mask for all. At test the
    mask is consistent, as paper 2 asks, or `draw=fresh`; `copies` masks are averaged there. `weight` is paper 2's
    λ·Σ|M|: on sampled masks that term is a constant, so anything but 0 is refused.
    """

    ratio: float
    fill: Fill
    when: When
    pattern: Pattern = "random"
    per: Per = "pixel"
    variability: float = 1.0
    draw: Literal["consistent", "fresh"] = "consistent"
    copies: int = 1
    seed: int = 0
    weight: float = 0.0

    name: ClassVar[str] = "mask"
    roles: ClassVar[tuple[Role, ...]] = ("mask",)

    def __post_init__(self) -> None:
        check_seed(self.seed)
        masks.check_ratio(self.name, self.ratio)
        masks.check_fill(self.name, self.fill, self.pattern)
        check_share(self.name, variability=self.variability)
        if self.weight:
            raise BadInput(
                self.name,
                "λ·Σ|M| is a constant on sampled masks: it has no gradient in any weight and would change nothing",
                f"weight={self.weight}",
                "Leave it out, or use learned-mask, whose mask has parameters.",
            )
        if self.variability < 1 and self.pattern != "random":
            raise BadInput(self.name, "variability is for pattern=random", f"pattern={self.pattern}")
        if self.when == "train" and (self.copies > 1 or self.draw == "fresh"):
            raise BadInput(self.name, "copies and draw are for masks at test", "when=train", "Use when=both or test.")
        if self.when != "train":
            self.preprocessor()

    def preprocessor(self) -> Masked:
        """What stands before the network at test."""
        return Masked(self.ratio, self.fill, self.pattern, self.per, self.draw, self.copies, self.seed)

    def prepare(self, setting: Setting) -> TrainingPart:
        """Masks for the images of each step, and the mask at test."""
        recipe = Recipe(transforms=(Masking(self, setting),)) if self.when != "test" else Recipe()
        return TrainingPart(recipe, unchanged if self.when == "train" else self.preprocessor().around)

    def __call__(self, model: Classifier, data: Dataset, rng: torch.Generator) -> Classifier:
        """A network trained with masks, or for when=test the given one behind a mask."""
        return self.preprocessor().around(model) if self.when == "test" else Hardening((self,))(model, data, rng)


class Masking:
    """The masks of a training."""

    def __init__(self, settings: Mask, setting: Setting) -> None:
        self.settings, shape = settings, setting.model.card.input_shape
        self.device = setting.model.device
        self.shape, batch = shape, min(setting.training.batch, len(setting.data))
        self.rng = numpy_rng(setting.training.seed, np.random.SFC64)
        self.tape: Tape | None = None
        if settings.pattern == "random":
            self.tape = Tape(shape, settings.ratio, per=settings.per, batch=batch, rng=self.rng)
        # the fixed mask is that of the preprocessor, so that training and test agree
        self.fixed = settings.preprocessor().masks(shape)[:1].float() if settings.pattern == "fixed" else None
        self.noise = Noise(shape, batch=batch, rng=self.rng) if settings.fill == "noise" else None
        self.own = None
        if self.tape is not None and settings.variability < 1:
            self.own = Tape(shape, settings.ratio, per=settings.per, batch=batch, rng=self.rng)

    def __call__(self, images: Images, step: Step) -> Images:
        """The images of a step, masked."""
        if step.number == 0 and step.epoch and self.tape is not None:
            self.tape.renew()
        kept = self._kept(len(images), step).to(self.device)
        noise = None if self.noise is None else self.noise.window(len(images)).to(self.device)
        return masks.hide(images, kept, self.settings.fill, noise)

    def _kept(self, n: int, step: Step) -> torch.Tensor:
        if self.fixed is not None:
            return self.fixed
        if self.tape is None:
            return masks.blocks(n, self.shape, self.settings.ratio, self.rng).float()
        window = self.tape.window(n)
        if self.own is None:
            return window
        new = torch.from_numpy(self.rng.random(n) < self.settings.variability).view(-1, 1, 1, 1)
        return torch.where(new, window, self.own.at(step.rows.cpu() * GOLDEN))


__all__ = ["Mask", "Masking", "generate_mask"]
