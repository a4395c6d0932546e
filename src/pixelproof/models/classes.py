"""The classes of a model beside those of the data: the same names in the same order, or said at once."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from pixelproof.data import Dataset
from pixelproof.data.dataset import on_screen
from pixelproof.errors import BadInput
from pixelproof.models.classifier import Classifier, logits_of
from pixelproof.types import Images, Logits

SHOWN = 12  # class names listed in a refusal
NONE_RIGHT = "Train first, or check the order of the classes, the normalisation (mean and std) and the weights."


class InOrder(nn.Module):
    """A network with its logits in another order."""

    order: Tensor

    def __init__(self, inner: nn.Module, order: list[int]) -> None:
        super().__init__()
        self.inner = inner
        self.register_buffer("order", torch.tensor(order), persistent=False)

    def forward(self, images: Images) -> Logits:
        """The inner network's logits; column k is its column `order[k]`."""
        logits = logits_of(self.inner(images))
        assert logits is not None, "asked before"
        return logits[:, self.order]


def aligned(model: Classifier, data: Dataset) -> Classifier:
    """`model` with the classes of `data`: as it is, under the data's names where it has none of its own, or with its
    logits in the data's order where both have the same names in another order.

    Raises BadInput, with both lists, for another number of classes and for other names. Numbers that only count the
    labels of an archive without names are no names.
    """
    own, wanted = model.card.classes, data.classes
    if own != wanted and set(own) == set(wanted) and model.named:
        return _reordered(model, wanted)
    check_same(model, data)
    return model if model.named else model.carrying(classes=wanted)


def check_same(model: Classifier, data: Dataset) -> None:
    """Raise BadInput, with both lists, unless label k of the data is logit k of the model as far as names can say."""
    own, wanted = model.card.classes, data.classes
    if own == wanted or (len(own) == len(wanted) and (not model.named or counted(len(own)) in (own, wanted))):
        return
    do = "Name them alike on both sides and in the same order, in an archive with the array 'classes'."
    if twins := [pair for pair in zip(own, wanted, strict=False) if len({*pair}) > len({*map(on_screen, pair)})]:
        do = f"{twins[0][0]!a} and {twins[0][1]!a} only look the same. {do}"
    raise BadInput(model.card.name, f"must have the classes of {data.name}, {_listed(wanted)}", _listed(own), do)


def _reordered(model: Classifier, wanted: tuple[str, ...]) -> Classifier:
    order = [model.card.classes.index(name) for name in wanted]
    mean, std = model.normalisation
    card = replace(model.card, classes=wanted)
    return Classifier(InOrder(model.net, order), card, mean=mean, std=std).to(model.device)


def counted(n: int) -> tuple[str, ...]:
    """The names "0", "1", ... of classes that were only counted."""
    return tuple(str(k) for k in range(n))


def _listed(names: tuple[str, ...]) -> str:
    rest = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{len(names)} ({', '.join(names[:SHOWN])}{rest})"
