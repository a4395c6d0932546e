"""One-pixel attacks with their queries counted: this package's, torchattacks' and ART's."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from benchmarks.meters import optional
from pixelproof.attacks.attack import Attack
from pixelproof.attacks.watch import watch
from pixelproof.models import Classifier
from pixelproof.types import Goal

Contender = Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, int]]  # what it hands in, and its queries


class Counted(nn.Module):
    """A classifier that counts the images it is asked about; the peers do not say how many queries they take."""

    def __init__(self, model: Classifier) -> None:
        super().__init__()
        self.model, self.queries = model, 0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.queries += len(images)
        return self.model(images)


def own(model: Classifier, attack: Attack) -> Contender:
    """An attack of this package; every candidate counts as a query, however it was evaluated."""

    def run(images, labels):
        watched = watch(model, Goal(labels))
        found = attack(watched, images, watched.goal, torch.Generator().manual_seed(0))
        return found, int(watched.tally.forwards.sum())

    return run


def peers(model: Classifier, population: int, iterations: int) -> dict[str, Contender | None]:
    """The peers' attacks; None for what is not installed. ART has its population of 400 built in."""
    torchattacks, art = optional("torchattacks"), optional("art.attacks.evasion")

    def by_torchattacks(images, labels):
        counted = Counted(model).eval()
        attack = torchattacks.OnePixel(counted, pixels=1, steps=iterations, popsize=population)
        return attack(images, labels), counted.queries

    def by_art(images, labels):
        from art.estimators.classification import PyTorchClassifier

        counted, shape = Counted(model).eval(), model.card.input_shape
        loss = nn.CrossEntropyLoss()
        wrapped = PyTorchClassifier(
            counted, loss, shape, len(model.card.classes), clip_values=(0, 1), device_type="cpu"
        )
        attack = art.PixelAttack(wrapped, th=1, es=1, max_iter=iterations)
        return torch.from_numpy(attack.generate(images.numpy(), labels.numpy())), counted.queries

    return {
        "torchattacks OnePixel": None if torchattacks is None else by_torchattacks,
        "ART PixelAttack": None if art is None else by_art,
    }
