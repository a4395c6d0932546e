"""Adaptive attacks: through steps that have no gradient, and past a detector that watches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pixelproof.attacks.attack import Attack
from pixelproof.attacks.mount import Prepared
from pixelproof.attacks.result import AdversarialSet
from pixelproof.data import Dataset
from pixelproof.draws import Draws
from pixelproof.errors import BadInput, UnknownName
from pixelproof.models import Classifier
from pixelproof.models.classes import check_same
from pixelproof.models.hooks import hooked
from pixelproof.types import Goal, Images, Labels, Logits, PerImage

ALARM = "alarm of the detector"


@contextmanager
def straight_through(model: Classifier, layer: str) -> Iterator[None]:
    """Inside, `layer` keeps its output but passes gradients on as if it did nothing (BPDA, arXiv 1802.00420).

    For preprocessing whose output has the shape of its input and no useful gradient: rounding, compression, median
    filters. The hook is gone afterwards, also after an error. Raises BadInput where the shapes differ.
    """
    modules = dict(model.net.named_modules())
    if layer not in modules or not layer:
        raise UnknownName("straight_through", "layer", layer, [name for name in modules if name])

    def hook(_module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
        entered: Tensor = inputs[0]
        if output.shape != entered.shape:
            raise BadInput(
                "straight_through", f"{layer} must keep its input's shape {tuple(entered.shape)}", tuple(output.shape)
            )
        return entered + (output - entered).detach()

    with hooked(modules[layer], hook):
        yield


@dataclass(frozen=True)
class Evasion(Goal):
    """A goal that counts only while no detector raises its alarm, which a `guarded` model puts into its last class.

    Untargeted, an alarm counts like the right label; targeted, like one more wrong class.
    """

    def seen(self, logits: Logits) -> Float[Tensor, "n c"]:
        """The classes' logits with the alarm merged into those that do not fulfil the goal."""
        classes, alarm = logits[:, :-1], logits[:, -1:]
        own = torch.arange(classes.shape[1], device=logits.device) == self.labels[:, None]
        return torch.where(own != self.targeted, torch.maximum(classes, alarm), classes)


@dataclass(frozen=True, eq=False)
class Alarm:
    """A detector as an attacker sees it: a differentiable score per image, and the threshold above which it alarms.

    `weight` is how many logits an excess of one score unit is worth to the attacker; it moves no decision.
    """

    score: Callable[[Images], PerImage]
    threshold: float
    weight: float = 10.0


class Guarded(nn.Module):
    """A classifier with one more class, "alarm", that wins exactly when the score exceeds the threshold.

    Its logit is max_k z_k + weight * (score - threshold) (after Carlini & Wagner 2017, arXiv 1705.07263).
    """

    def __init__(self, model: Classifier, alarm: Alarm) -> None:
        super().__init__()
        self.model, self.alarm = model, alarm

    def forward(self, images: Images) -> Logits:
        """The classifier's logits and the alarm's."""
        logits = self.model(images)
        excess = self.alarm.score(images) - self.alarm.threshold
        return torch.cat([logits, (logits.amax(1) + self.alarm.weight * excess)[:, None]], 1)


def guarded(model: Classifier, alarm: Alarm) -> Classifier:
    """`model` with the alarm as its last class."""
    card = replace(model.card, name=f"{model.card.name}, guarded", classes=(*model.card.classes, ALARM))
    return Classifier(Guarded(model, alarm), card).to(model.device).eval()


def evade(
    attack: Attack, model: Classifier, data: Dataset, alarm: Alarm, *, targets: Labels | None = None, seed: int = 0
) -> AdversarialSet:
    """`attack` against classifier and detector at once; only an image that fools both counts as a success.

    Attacked are the images that the model gets right without an alarm. Any attack that works from the goal's loss
    will do: pgd, apgd, margin-pgd, fab, square, auto.
    """
    check_same(model, data)
    seen = guarded(model, alarm)
    data = Dataset(data.name, data.pixels, data.labels, seen.card.classes, data.index, data.split)
    field = Prepared.of(seen, data, targets, None)
    goal = Evasion(field.goal.labels, field.goal.targeted)
    field = replace(field, goal=goal)
    with field.seeded(seed):
        outcome = field.run(attack, Draws.keyed(seed, field.data.index))
        return field.judge(outcome, attack, seed)
