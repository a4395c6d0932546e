"""Masks that stay on at test: drawn anew at each pass, the same for every image, or several copies averaged."""

from __future__ import annotations

from dataclasses import dataclass
from math import log
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from pixelproof import masks
from pixelproof.data import Dataset
from pixelproof.draws import check_seed, numpy_rng, subseed
from pixelproof.errors import BadInput
from pixelproof.masks import Fill, Pattern, Per
from pixelproof.models.classifier import Classifier
from pixelproof.models.preprocessors.preprocessor import preprocessed
from pixelproof.types import Images, Logits


@dataclass(frozen=True)
class Masked:
    """A share `ratio` of every image replaced by `fill` before the network sees it (paper 2, Algorithm step 8).

    `draw` "consistent": masks drawn once from `seed` and kept, as the paper asks; "fresh": drawn anew at each pass,
    which makes the classifier random: attack it by expectation (attacks.stochastic.expect). With `copies` > 1 each
    image is seen through that many masks and the probabilities are averaged (after Xu et al. 2022, MAD).
    """

    ratio: float
    fill: Fill
    pattern: Pattern = "random"
    per: Per = "pixel"
    draw: Literal["consistent", "fresh"] = "consistent"
    copies: int = 1
    seed: int = 0

    name: ClassVar[str] = "masked"

    def __post_init__(self) -> None:
        check_seed(self.seed)
        masks.check_ratio(self.name, self.ratio)
        masks.check_fill(self.name, self.fill, self.pattern)
        if self.copies < 1:
            raise BadInput(self.name, "copies must be at least 1", self.copies)
        if self.draw == "fresh" and self.pattern == "fixed":
            raise BadInput(self.name, "a fixed mask cannot be drawn anew", "draw=fresh", "Use pattern=random.")

    def around(self, model: Classifier) -> Classifier:
        """The classifier that sees masked images."""
        net = ThroughMasks(self, model)
        return preprocessed(self, net, model, stochastic=self.draw == "fresh")

    def __call__(self, model: Classifier, data: Dataset, rng: torch.Generator) -> Classifier:
        """The same, as a defence."""
        return self.around(model)

    def masks(self, shape: tuple[int, int, int]) -> Tensor:
        """The consistent masks (copies, c, h, w), from the seed."""
        rng = numpy_rng(self.seed)
        drawn = [
            masks.generate_mask(shape, self.ratio, pattern=self.pattern, per=self.per, rng=rng)
            for _ in range(self.copies)
        ]
        return torch.stack(drawn)


class ThroughMasks(nn.Module):
    """Logits of masked copies of each image, averaged as probabilities."""

    kept: Tensor
    noise: Tensor

    def __init__(self, settings: Masked, inner: Classifier) -> None:
        super().__init__()
        self.settings, self.inner = settings, inner
        shape = inner.card.input_shape
        consistent = settings.draw == "consistent"
        self.register_buffer("kept", settings.masks(shape) if consistent else None)
        numbers = numpy_rng(subseed(settings.seed, 1, parts=1)).random((settings.copies, *shape), dtype=np.float32)
        noisy = consistent and settings.fill == "noise"
        self.register_buffer("noise", torch.from_numpy(numbers) if noisy else None)

    def forward(self, images: Images) -> Logits:
        """One row per image; log-probabilities when there are several copies, else the network's own logits."""
        copies, n = self.settings.copies, len(images)
        spread = images.repeat_interleave(copies, 0)
        kept = self._fresh(spread) if self.kept is None else self.kept.repeat(n, 1, 1, 1)
        noise = None
        if self.settings.fill == "noise":
            noise = torch.rand(spread.shape).to(images.device) if self.noise is None else self.noise.repeat(n, 1, 1, 1)
        logits: Tensor = self.inner(masks.hide(spread, kept, self.settings.fill, noise))
        if copies == 1:
            return logits
        return logits.log_softmax(1).view(n, copies, -1).logsumexp(1) - log(copies)

    def _fresh(self, images: Images) -> Tensor:
        """New masks, drawn on the CPU from torch's own generator."""
        settings, (n, channels, height, width) = self.settings, images.shape
        if settings.pattern in ("block", "filter"):
            rng = numpy_rng(int(torch.randint(2**62, ())))
            return masks.blocks(n, (channels, height, width), settings.ratio, rng).to(images.device)
        planes = channels if settings.per == "channel" else 1
        return (torch.rand(n, planes, height, width) >= settings.ratio).to(images.device)
