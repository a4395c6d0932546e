"""A few classifiers of one architecture that answer together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import log
from typing import ClassVar

import torch
from torch import nn

from pixelproof import specs
from pixelproof.data import Dataset
from pixelproof.errors import BadInput
from pixelproof.models.classifier import Classifier
from pixelproof.models.modes import duplicate
from pixelproof.types import Images, Logits


@dataclass(frozen=True)
class Committee:
    """The mean probability of `members` classifiers."""

    members: int = 3

    name: ClassVar[str] = "committee"

    def __post_init__(self) -> None:
        if self.members < 2:
            raise BadInput(self.name, "members must be at least 2", self.members)

    def around(self, model: Classifier) -> Classifier:
        """Copies of one classifier, to be filled from saved weights."""
        return self.of([model, *(duplicate(model) for _ in range(self.members - 1))])

    def __call__(self, model: Classifier, data: Dataset, rng: torch.Generator) -> Classifier:
        """Refused: copies of one model know no more than it does."""
        raise BadInput(self.name, "needs members that differ", "one model", "Use the defence 'ensemble', which trains.")

    def of(self, models: Sequence[Classifier]) -> Classifier:
        """The committee of these classifiers."""
        card, chance = models[0].card, any(model.card.stochastic for model in models)
        changed = replace(
            card, preprocessors=(specs.write(self), *card.preprocessors), accuracy=None, stochastic=chance
        )
        return Classifier(MeanProbability(models), changed).to(models[0].device).eval()


class MeanProbability(nn.Module):
    """The logarithm of the members' mean probability."""

    def __init__(self, members: Sequence[Classifier]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, images: Images) -> Logits:
        """One row per image."""
        each = torch.stack([member(images).float().log_softmax(1) for member in self.members])
        return each.logsumexp(0) - log(len(self.members))
