"""What stands before a network: a change of the image that belongs to the classifier, and is saved with it."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Literal, Protocol, TypeAlias, runtime_checkable

import torch
from torch import nn

from pixelproof import specs
from pixelproof.data import Dataset
from pixelproof.models.classifier import Classifier
from pixelproof.types import Images, Logits

When: TypeAlias = Literal["test", "both"]


@runtime_checkable
class Preprocessor(Protocol):
    """A frozen dataclass that puts something before a classifier (or around it); its spec is kept on the card.

    Called with a model, training data and a generator it is a defence like any other; it needs no training.
    """

    name: ClassVar[str]

    def around(self, model: Classifier) -> Classifier:
        """The classifier with this before it. `model` is shared, not copied, and not changed."""
        ...

    def __call__(self, model: Classifier, data: Dataset, rng: torch.Generator) -> Classifier:
        """The same, as a defence: neither data nor randomness is needed."""
        ...


class Preprocessed(nn.Module):
    """A classifier behind a module that changes images."""

    def __init__(self, preprocessor: nn.Module, inner: Classifier) -> None:
        super().__init__()
        self.preprocessor, self.inner = preprocessor, inner

    def forward(self, images: Images) -> Logits:
        """The inner classifier's logits for the changed images."""
        logits: Logits = self.inner(self.preprocessor(images))
        return logits


def preprocessed(
    preprocessor: Preprocessor, net: nn.Module, model: Classifier, *, stochastic: bool = False
) -> Classifier:
    """`net`, which holds `model`, as a classifier whose card says that `preprocessor` stands before it."""
    card = model.card
    spec = specs.write(preprocessor)
    changed = replace(
        card,
        preprocessors=(spec, *card.preprocessors),
        defences=(*card.defences, spec),
        parent=model.digest(),
        accuracy=None,
        stochastic=card.stochastic or stochastic,
    )
    return Classifier(net, changed).to(model.device).eval()


def straight_through(images: Images, changed: Images) -> Images:
    """`changed`, with the gradient of the images themselves (BPDA, Athalye et al. 2018, arXiv 1802.00420).

    Without a useful gradient it would hide the network from every gradient attack and so look like a defence.
    """
    return images + (changed - images).detach()
