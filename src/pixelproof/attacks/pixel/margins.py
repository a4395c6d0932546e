"""How far logits are from a goal, and the colours that are worth trying."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from pixelproof.errors import BadInput
from pixelproof.models import Classifier
from pixelproof.types import Goal, Images, check_images, check_labels


def margins(logits: Float[Tensor, "*b k"], label: int, targeted: bool) -> Float[Tensor, "*b"]:
    """Label's logit minus the largest other one, or the reverse when targeted: negative where the goal is reached."""
    others = logits.clone()
    others[..., label] = -torch.inf
    margin: Tensor = logits[..., label] - others.amax(-1)
    return -margin if targeted else margin


def reached(logits: Float[Tensor, "*b k"], label: int, targeted: bool) -> Tensor:
    """Whether the predicted class fulfils the goal."""
    hit = logits.argmax(-1) == label
    return hit if targeted else ~hit


def colour_grid(channels: int, levels: int) -> Float[Tensor, "m ch"]:
    """Every colour whose channels take `levels` equally spaced 8-bit values; two levels are the corners of the cube."""
    values = (torch.linspace(0, 255, levels).round() / 255).tolist()
    return torch.cartesian_prod(*[torch.tensor(values)] * channels).view(-1, channels)


def check_attack(who: str, model: Classifier, images: Images, goal: Goal) -> None:
    """Refuse bad images, labels that do not fit, and images on a device the model is not on."""
    check_images(who, images)
    check_labels(who, goal.labels, n=len(images), classes=len(model.card.classes))
    if images.device != model.device:
        raise BadInput(
            who, f"images must be on the model's device ({model.device})", images.device, "Move one of them."
        )
