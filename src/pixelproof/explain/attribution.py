"""Attribution: how much each pixel moved one logit, how well that adds up, and what makes such a map (Explainer)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from pixelproof.draws import Rng
from pixelproof.errors import BadInput
from pixelproof.models import Classifier
from pixelproof.types import Heatmaps, Images, Labels, Logits, Mask, PerImage, check_images, check_labels

TOLERANCE = 1e-3
TINY = 1e-12


@dataclass(frozen=True)
class Attribution:
    """One heat map per image: what each pixel adds to the logit of `classes`, starting from `base`.

    An additive explanation satisfies sum(values) = logit - base. `gap` is what is missing, relative to the size of
    logit - base (or to its mean absolute size over the backgrounds, where there are several), so 0 is exact.
    """

    values: Heatmaps
    classes: Labels
    base: PerImage
    gap: PerImage

    def to(self, device: torch.device) -> Attribution:
        """The same attribution on `device`."""
        return Attribution(*(field.to(device) for field in (self.values, self.classes, self.base, self.gap)))

    @property
    def sound(self) -> Mask:
        """The images whose map adds up to within 0.1 %; the other maps must not be read as shares of the logit."""
        return self.gap <= TOLERANCE


@runtime_checkable
class Explainer(Protocol):
    """Makes one heat map per image for a classifier's logit."""

    def __call__(self, model: Classifier, images: Images, classes: Labels | None, rng: Rng) -> Attribution:
        """The attribution of `classes`, or of the predicted class of each image when None.

        The model is left as it was, also after an error. Raises BadInput for images or classes that cannot be right.
        """
        ...


def chosen_classes(who: str, logits: Logits, classes: Labels | None) -> Labels:
    """`classes` after a check, or the predicted class of each image."""
    if classes is None:
        return logits.argmax(1)
    check_labels(who, classes, n=len(logits), classes=logits.shape[1])
    return classes.to(logits.device)


def logits_of(who: str, model: Classifier, images: Images, chunk: int) -> Logits:
    """Logits of checked images, on the model's device, `chunk` images at a time; the caller holds the model frozen."""
    check_images(who, images)
    with torch.no_grad():
        return torch.cat([model(part.to(model.device)) for part in torch.split(images, chunk)])


def check_background(who: str, model: Classifier, background: Images) -> None:
    """Refuse backgrounds whose shape is not that of the model's images."""
    if background.shape[1:] != model.card.input_shape:
        raise BadInput(
            who,
            f"the background must have shape {model.card.input_shape}, as the model's images",
            tuple(background.shape[1:]),
            "Take it from the model's training data.",
        )


def check_varied(who: str, background: Images) -> None:
    """Refuse a background that holds nothing but one value."""
    check_images(who, background)
    if background.min() == background.max():
        raise BadInput(
            who,
            "the background must be real images",
            f"{len(background)} of the one value {float(background.min()):.3g}",
            "Use some training images, or integrated-gradients, which starts from black.",
        )


def additivity(values: Float[Tensor, "*rows c h w"], moved: Tensor, size: Tensor) -> Tensor:
    """|sum(values) - moved| / size: how far the maps are from adding up to what they explain."""
    return (values.flatten(-3).sum(-1) - moved).abs() / size.clamp_min(TINY)


def judged(values: Heatmaps, classes: Labels, logits: Logits, references: Float[Tensor, "b k"]) -> Attribution:
    """The maps with their base, the mean logit of the `references`, and the gap that they leave."""
    rows = torch.arange(len(classes), device=classes.device)
    base = references.mean(0)[classes]
    size = (logits[rows, classes, None] - references.T[classes]).abs().mean(1)
    return Attribution(values, classes, base, additivity(values, logits[rows, classes] - base, size))
