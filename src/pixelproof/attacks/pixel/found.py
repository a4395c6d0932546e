"""The running result of a one-pixel search of one image."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pixelproof.attacks.pixel.engine import Scene
from pixelproof.attacks.pixel.margins import margins, reached
from pixelproof.errors import BadInput

TOGETHER = 2**25  # logits of candidates that are looked at together: what memory holds


class PixelFinding:
    """What was found so far: the best candidate, the vulnerable pixels, and the closest candidate to every class."""

    def __init__(self, scene: Scene, image: Tensor, label: int, targeted: bool) -> None:
        self.scene, self.clean, self.label, self.targeted = scene, image, label, targeted
        self.image = image
        logits = scene.clean.cpu()
        self.already = bool(reached(logits, label, targeted))
        self.success = self.already
        self.margin = float(margins(logits, label, targeted))
        self.position = -1
        self.colour = torch.zeros(len(image))
        self.vulnerable = torch.zeros(image.shape[1:], dtype=torch.bool)
        self.targets = torch.zeros(len(logits), dtype=torch.bool)
        self.targets[logits.argmax()] = True
        self.per_target = (
            to_classes(logits),
            torch.full((len(logits),), -1),
            torch.zeros(len(logits), len(image)),
        )
        self.first = 0 if self.already else -1
        self.candidates = 0
        self.complete = False
        self.seconds = 0.0

    def attempt(self, positions: Int[Tensor, " p"], colours: Float[Tensor, "m ch"]) -> None:
        """Try every colour at every position. Raises BadInput where the model's answer is not finite."""
        several = max(1, TOGETHER // (len(colours) * len(self.targets)))
        for part in torch.split(positions, several):
            self._attempt(part, colours)

    def _attempt(self, positions: Tensor, colours: Tensor) -> None:
        if not len(positions):
            return
        logits = self.scene.logits(positions, colours.expand(len(positions), -1, -1)).cpu()
        if not torch.isfinite(logits).all():
            raise BadInput("one-pixel", "the model must return finite logits", "NaN or infinity", "Check its weights.")
        hit = reached(logits, self.label, self.targeted)
        value = margins(logits, self.label, self.targeted)
        self.vulnerable.view(-1)[positions] |= hit.any(1)
        self.targets[logits.argmax(-1).flatten()] = True
        if self.first < 0 and bool(hit.any()):
            self.first = self.candidates + int(hit.flatten().long().argmax()) + 1
        self.candidates += hit.numel()
        self.success |= bool(hit.any())
        best = int(value.argmin())
        if float(value.view(-1)[best]) < self.margin:
            self.margin = float(value.view(-1)[best])
            self.position = int(positions[best // len(colours)])
            self.colour = colours[best % len(colours)]
            self.image = changed(self.clean, self.position, self.colour)
        closest, rows = to_classes(logits.flatten(0, 1)).min(0)
        margin, position, colour = self.per_target
        nearer = closest < margin
        self.per_target = (
            torch.where(nearer, closest, margin),
            torch.where(nearer, positions[rows // len(colours)], position),
            torch.where(nearer[:, None], colours[rows % len(colours)], colour),
        )


def to_classes(logits: Float[Tensor, "*b k"]) -> Float[Tensor, "*b k"]:
    """For every class, the largest other logit minus its own: negative where the class is predicted."""
    top, places = logits.topk(2, -1)
    mine = torch.nn.functional.one_hot(places[..., 0], logits.shape[-1]).bool()
    return torch.where(mine, top[..., 1:], top[..., :1]) - logits


def changed(image: Float[Tensor, "ch h w"], position: int, colour: Float[Tensor, " ch"]) -> Float[Tensor, "ch h w"]:
    """The image with one pixel set to a colour; a position of -1 changes nothing."""
    result = image.clone()
    if position >= 0:
        result[:, position // image.shape[2], position % image.shape[2]] = colour.to(image)
    return result
