"""A choice of features: everything else is hidden, for every image alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from pixelproof.data import Dataset
from pixelproof.errors import BadInput
from pixelproof.models.classifier import Classifier
from pixelproof.models.preprocessors.preprocessor import Preprocessed, preprocessed
from pixelproof.types import Images


@dataclass(frozen=True)
class Features:
    """A mask of your own, or a learned one, before the network: what it does not keep becomes `fill`."""

    fill: float = 0.0

    name: ClassVar[str] = "features"

    def __post_init__(self) -> None:
        if not 0 <= self.fill <= 1:
            raise BadInput(self.name, "fill must lie in [0, 1]", self.fill)

    def around(self, model: Classifier) -> Classifier:
        """The classifier with a mask that keeps everything, to be filled from saved weights."""
        return self.keeping(model, torch.ones(model.card.input_shape, dtype=torch.bool))

    def __call__(self, model: Classifier, data: Dataset, rng: torch.Generator) -> Classifier:
        """Refused: a list of names cannot say which features."""
        raise BadInput(self.name, "needs a mask", "a spec", "Use Features(fill).keeping(model, mask) or learned-mask.")

    def keeping(self, model: Classifier, kept: Tensor) -> Classifier:
        """The classifier that sees only what `kept` (c, h, w), boolean, keeps. BadInput for a mask of another shape."""
        if tuple(kept.shape) != model.card.input_shape or kept.dtype != torch.bool:
            got = f"{tuple(kept.shape)}, {kept.dtype}"
            raise BadInput(self.name, f"the mask must be boolean and of shape {model.card.input_shape}", got)
        return preprocessed(self, Preprocessed(Chosen(kept, self.fill), model), model)


class Chosen(nn.Module):
    """Keeps some features."""

    kept: Tensor

    def __init__(self, kept: Tensor, fill: float) -> None:
        super().__init__()
        self.fill = fill
        self.register_buffer("kept", kept[None].clone())

    def forward(self, images: Images) -> Images:
        """Images with the rest filled."""
        return torch.where(self.kept, images, self.fill)
