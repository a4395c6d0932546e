"""What a run keeps about the cases of an alarm rule: images of each, with their nearest training images."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Bool, Float, Int
from torch import Tensor

from pixelproof.types import Labels, Mask


@dataclass(frozen=True, eq=False)
class CaseRecord:
    """Images of each case on the judging half, the first ones in file order, with their nearest training images.

    `case` is "true positive", "false negative", "true negative", "false positive" (alarms of the composed layer) or
    "layers disagree". `alarm` holds every layer's alarm, `recovered`, `strangers` and the neighbours belong to the
    composed layer; `pictures` are the neighbours themselves, nearest first.
    """

    attack: str
    layers: tuple[str, ...]
    k: int
    case: tuple[str, ...]
    attacked: Mask
    index: Int[Tensor, " n"]
    labels: Labels
    predicted: Labels
    recovered: Labels
    strangers: Int[Tensor, " n"]
    alarm: Bool[Tensor, "n layers"]
    images: Float[Tensor, "n c h w"]
    neighbours: Int[Tensor, "n few"]
    neighbour_labels: Int[Tensor, "n few"]
    pictures: Float[Tensor, "n few c h w"]
