"""Occlusion: how far a logit falls when a patch of the image is covered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from pixelproof.draws import Rng
from pixelproof.errors import BadInput
from pixelproof.explain.attribution import Attribution, chosen_classes, judged, logits_of
from pixelproof.models import Classifier, frozen
from pixelproof.types import Images, Labels

CHUNK = 125


@dataclass(frozen=True)
class Occlusion:
    """The fall of the logit when a `patch` x `patch` square is set to `fill`, spread evenly over the square (Zeiler and
    Fergus 2014, arXiv 1311.2901).

    Squares are laid every `stride` pixels, and once more at the far edges; a pixel has the mean of the squares that
    cover it. It is exact for one square and does not add up over squares; the gap is taken against an image that is
    covered throughout.
    """

    name: ClassVar[str] = "occlusion"

    patch: int = 4
    stride: int = 2
    fill: float = 0.0

    def __post_init__(self) -> None:
        if self.patch < 1 or not 1 <= self.stride <= self.patch:
            raise BadInput(self.name, "expected 1 <= stride <= patch", f"patch {self.patch}, stride {self.stride}")
        if not 0 <= self.fill <= 1:
            raise BadInput(self.name, "fill must lie in [0, 1]", self.fill)

    def __call__(self, model: Classifier, images: Images, classes: Labels | None, rng: Rng) -> Attribution:
        """The attribution of `classes` (None: the predicted ones); nothing is drawn from `rng`."""
        if self.patch > min(images.shape[-2:]):
            raise BadInput(self.name, f"patch must fit into images of {tuple(images.shape[-2:])}", self.patch)
        with frozen(model), torch.no_grad():
            logits = logits_of(self.name, model, images, CHUNK)
            chosen = chosen_classes(self.name, logits, classes)
            inputs = images.to(model.device)
            total, covered = torch.zeros_like(inputs), inputs.new_zeros(inputs.shape[-2:])
            for row in self._places(inputs.shape[2]):
                for column in self._places(inputs.shape[3]):
                    square = (slice(row, row + self.patch), slice(column, column + self.patch))
                    hidden = inputs.clone()
                    hidden[:, :, *square] = self.fill
                    fall = (logits - logits_of(self.name, model, hidden, CHUNK)).gather(1, chosen[:, None])
                    total[:, :, *square] += fall.view(-1, 1, 1, 1) / (inputs.shape[1] * self.patch**2)
                    covered[square] += 1
            blank = model(torch.full_like(inputs[:1], self.fill))
        return judged(total / covered, chosen, logits, blank).to(images.device)

    def _places(self, size: int) -> list[int]:
        last = size - self.patch
        return sorted({*range(0, last + 1, self.stride), last})
