"""A one-pixel attack that knows the detector: among all single pixels that fool the network, the quietest one.

A detector's score has no useful gradient with respect to which pixel is changed. But the changes that fool are few, so
every one that was found can be shown to the guard itself, without a surrogate.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from pixelproof.attacks import mount
from pixelproof.attacks.attack import Kind, Model, check_settings
from pixelproof.attacks.pixel.margins import check_attack, colour_grid
from pixelproof.attacks.watch import watch
from pixelproof.data import Dataset
from pixelproof.detect.adaptive.aware import AdaptiveResult
from pixelproof.detect.guards.guard import Guard
from pixelproof.draws import Rng
from pixelproof.models import Classifier, frozen
from pixelproof.types import Goal, Images, Norm

CHUNK = 256


@dataclass(frozen=True)
class Watchman:
    """The guard under attack and its name."""

    guard: Guard = field(repr=False)
    detector: str

    def __str__(self) -> str:
        return self.detector


@dataclass(frozen=True)
class QuietPixel:
    """One pixel in a corner colour, at one of the `ranked` positions with the largest gradient of the margin.

    Of all such changes that reach the goal the one with the guard's lowest score; where none does, the clean image.
    Costs ranked x 2^channels passes per image, and one verdict per change that fools.
    """

    target: Watchman
    ranked: int = 48

    name: ClassVar[str] = "quiet-pixel"
    kind: ClassVar[Kind] = "fixed"
    draws: ClassVar[bool] = False
    targetable: ClassVar[bool] = True
    norm: ClassVar[Norm] = "l0"

    def __post_init__(self) -> None:
        check_settings(self.name, eps=1.0, at_least_one={"ranked": self.ranked})

    @property
    def eps(self) -> float:
        """The budget: one pixel."""
        return 1.0

    def __call__(self, model: Model, images: Images, goal: Goal, rng: Rng) -> Images:
        """The quietest image that reaches the goal, else the clean one; nothing is drawn."""
        del rng
        watched = watch(model, goal)
        classifier = watched.classifier
        check_attack(self.name, classifier, images, goal)
        slopes = gradient(classifier, images, goal)
        colours = colour_grid(images.shape[1], 2).to(images.device)
        chosen = []
        for row, image in enumerate(images):
            places = slopes[row].flatten().topk(min(self.ranked, slopes[row].numel())).indices
            candidates = painted(image, places, colours)
            own = goal[torch.tensor([row], device=images.device)]
            with frozen(classifier), torch.no_grad():
                hits = [
                    Goal(own.labels.expand(len(part)), own.targeted).reached(classifier(part))
                    for part in torch.split(candidates, CHUNK)
                ]
            fooling = candidates[torch.cat(hits)]
            if not len(fooling):
                chosen.append(image)
                continue
            score = self.target.guard(classifier, fooling.cpu()).score
            chosen.append(fooling[int(score.argmin())])
        spent = torch.full((len(images),), min(self.ranked, slopes[0].numel()) * len(colours) + 1, device=images.device)
        watched.spent(spent, torch.ones_like(spent), torch.full_like(spent, -1))
        return torch.stack(chosen)


def gradient(model: Classifier, images: Images, goal: Goal) -> Tensor:
    """How strongly each pixel (n, h, w) moves the margin: the largest absolute derivative over its channels."""
    with torch.enable_grad():
        x = images.detach().requires_grad_()
        (slope,) = torch.autograd.grad(goal.margin(model(x)).sum(), x)
    return slope.abs().amax(1)


def painted(image: Tensor, places: Tensor, colours: Tensor) -> Images:
    """Copies of an image (c, h, w), each with one of the places in one of the colours."""
    copies = image.flatten(1).expand(len(places) * len(colours), -1, -1).clone()
    rows = torch.arange(len(copies), device=image.device)
    copies[rows, :, places.repeat_interleave(len(colours))] = colours.repeat(len(places), 1)
    return copies.view(-1, *image.shape)


def adapt_pixel(
    guard: Guard, model: Classifier, data: Dataset, *, detector: str, ranked: int = 48, seed: int = 0
) -> AdaptiveResult:
    """Attack `model` and `guard` with the quietest pixel of each image, and judge with the guard."""
    found = mount(QuietPixel(Watchman(guard, detector), ranked), model, data, seed=seed)
    return AdaptiveResult(("quietest pixel",), (found,), (guard(model, found.images),))
