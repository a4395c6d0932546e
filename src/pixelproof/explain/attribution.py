"""Attribution: how much each pixel moved one logit, how well that adds up, and what makes such a map (Explainer)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from pixelproof.draws import Rng
from pixelproof.models import Classifier
from pixelproof.types import Heatmaps, Images, Labels, Mask, PerImage, check_images, check_labels

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

    @property
    def sound(self) -> Mask:
        """The images whose map adds up to within 0.1 %; the other maps must not be read as shares of the logit."""
        return self.gap <= TOLERANCE


class Explainer(Protocol):
    """Makes one heat map per image for a classifier's logit."""

    def __call__(self, model: Classifier, images: Images, classes: Labels | None, rng: Rng) -> Attribution:
        """The attribution of `classes`, or of the predicted class of each image when None.

        The model is left as it was, also after an error. Raises BadInput for images or classes that cannot be right.
        """
        ...


def chosen_classes(who: str, logits: Tensor, classes: Labels | None) -> Labels:
    """`classes` after a check, or the predicted class of each image."""
    if classes is None:
        return logits.argmax(1)
    check_labels(who, classes, n=len(logits), classes=logits.shape[1])
    return classes.to(logits.device)


def logits_of(who: str, model: Classifier, images: Images, chunk: int) -> Tensor:
    """Logits of checked images, on the model's device, `chunk` images at a time; the caller holds the model frozen."""
    check_images(who, images)
    with torch.no_grad():
        return torch.cat([model(images[start : start + chunk].to(model.device)) for start in range(0, len(images), chunk)])


def picked(logits: Tensor, classes: Labels) -> PerImage:
    """The logit of one class per image."""
    chosen: Tensor = logits.gather(1, classes[:, None])[:, 0]
    return chosen


def relative_gap(total: Tensor, moved: Tensor, size: Tensor) -> Tensor:
    """|total - moved| / size: how far an attribution's sum is from the change of the logit that it should explain."""
    return (total - moved).abs() / size.abs().clamp_min(TINY)
