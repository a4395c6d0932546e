"""Predictions: what a model says of every image of a set, clean and under attack; kept, they can be compared later."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from pixelproof import attacks as attacking
from pixelproof.attacks import Attack
from pixelproof.attacks.mount import Progress
from pixelproof.attacks.stochastic import ATTACK_DRAWS, drawing, expect, is_stochastic
from pixelproof.data import Dataset
from pixelproof.errors import BadInput
from pixelproof.measure.evaluate import FLAG_IMAGES
from pixelproof.models import Classifier
from pixelproof.results import Predictions
from pixelproof.types import Images

CLEAN = "clean"
LOOKED_AT = 256  # images classified at a time to find those that a model gets right
JUDGE_DRAWS = 10  # passes whose majority is a random model's answer

Tell = Callable[[str, int, int, str], None]


def predictions(
    model: Classifier,
    data: Dataset,
    attacks: Sequence[Attack] = (),
    eps: Sequence[float] = (),
    *,
    seed: int = 0,
    tell: Tell | None = None,
) -> tuple[Predictions, ...]:
    """Clean answers, then those under each attack at each budget.

    A random model is attacked in expectation over 20 draws, and answers by the majority of ten passes.
    """
    tell = tell or (lambda what, done, total, note: None)
    with drawing(seed, wanted=True):
        random = is_stochastic(model, data[:FLAG_IMAGES].images)
        attacked = expect(model, ATTACK_DRAWS) if random else model
        found = [_predicted(model, data, CLEAN, data.images, random)]
        for attack in attacks:
            progress = _part(tell, f"{model.card.name}: {attack.name}")
            sets = attacking.sweep(attack, attacked, data, eps, seed=seed, progress=progress)
            for adversarial in sets:
                images = data.images.clone()
                images[torch.isin(data.index, adversarial.index)] = adversarial.images
                found.append(_predicted(model, data, adversarial.attack, images, random))
    return tuple(found)


def _part(tell: Tell, what: str) -> Progress:
    return lambda done, total: tell(what, done, total, "")


def _predicted(model: Classifier, data: Dataset, condition: str, images: Images, random: bool) -> Predictions:
    passes = [model.predict(images) for _ in range(JUDGE_DRAWS if random else 1)]
    predicted = torch.stack([logits.argmax(1) for logits in passes]).mode(0).values
    losses = torch.stack([F.cross_entropy(logits, data.labels, reduction="none") for logits in passes])
    return Predictions(
        model=model.card.name,
        condition=condition,
        data=data.name,
        digest=data.digest(),
        classes=len(data.classes),
        index=data.index,
        labels=data.labels,
        predicted=predicted,
        loss=losses.mean(0),
    )


def check_same(found: Sequence[Predictions]) -> None:
    """Refuse answers on different images: by position in the original file, and by the digest of the pixels."""
    one = found[0]
    for other in found[1:]:
        if one.index.shape != other.index.shape or not torch.equal(one.index, other.index):
            shared = int(torch.isin(one.index, other.index).sum())
            got = f"{len(one.index)} and {len(other.index)} images, {shared} in common"
            raise BadInput("compare", "both must have answered the same images", got, "Give both the same sample.")
        if one.digest != other.digest:
            got = f"{one.data} {one.digest} and {other.data} {other.digest}"
            raise BadInput("compare", "the same positions must hold the same images", got, "Give both the same data.")


def first_right(model: Classifier, data: Dataset, n: int) -> Tensor:
    """The rows of the first n images that the model gets right, in order; fewer where there are no more."""
    right: list[int] = []
    for start in range(0, len(data), LOOKED_AT):
        part = data[start : start + LOOKED_AT]
        hit = (model.predict(part.images).argmax(1) == part.labels).nonzero()[:, 0]
        right = [*right, *(hit + start).tolist()][:n]
        if len(right) == n:
            break
    return torch.tensor(right, dtype=torch.long)
