"""Models that answer differently each time: found, attacked in expectation, and judged as a rate over many draws."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pixelproof.draws import seeded
from pixelproof.errors import BadInput
from pixelproof.models import Classifier, evaluating, frozen
from pixelproof.types import Goal, Images, Logits, Mask, PerImage, Rate

ATTACK_DRAWS = 20  # passes of a random model behind each gradient, as in AutoAttack's version for such models
JUDGE_DRAWS = 100  # passes that judge each of its images
SAME = 1e-4  # logits of two passes that lie further apart, in lengths of the longest of the passes, are no rounding
PASSES = 5


def unsteady(model: Classifier, images: Images) -> Mask:
    """Which images get other answers in one of five passes, in evaluation mode: AutoAttack's test, image by image.

    All passes of an image share one scale: scaled one by one, the logits of two opposite classes would never differ.
    """
    with seeded(0, None):
        passes = torch.stack([model.predict(images) for _ in range(PASSES)])
    answers = passes.argmax(2)
    scale = passes.norm(dim=2).amax(0).clamp_min(1e-12)
    apart = (passes[:, None] - passes[None]).norm(dim=3).amax((0, 1)) / scale
    found: Mask = (apart > SAME) | (answers != answers[0]).any(0)
    return found


def is_stochastic(model: Classifier, images: Images) -> bool:
    """Whether passes over the same images differ by more than rounding."""
    return bool(unsteady(model, images).any())


def expect(model: Classifier, draws: int) -> Classifier:
    """`model` as the mean of its log-probabilities over `draws` passes, made as one pass over copies of the batch.

    Any attack on the result is an attack by expectation over transformation (Athalye et al. 2018, arXiv 1707.07397).
    Passes of the result count once, whatever the number of draws.
    """
    if draws < 1:
        raise BadInput("expect", "draws must be at least 1", draws)
    card = replace(model.card, name=f"{model.card.name}, mean of {draws}", stochastic=True)
    return Classifier(Expectation(model, draws), card).to(model.device).eval()


def in_expectation(model: Classifier, images: Images) -> tuple[Classifier, Classifier | None]:
    """`model` as attackers should see it, and the random model behind that, None where passes over `images` agree."""
    if isinstance(model.net, Expectation):
        return model, model.net.model  # the expectation has been taken already; judged is what it was taken of
    return (expect(model, ATTACK_DRAWS), model) if is_stochastic(model, images) else (model, None)


class Expectation(nn.Module):
    """The mean log-probabilities of a random network."""

    def __init__(self, model: Classifier, draws: int) -> None:
        super().__init__()
        self.model, self.draws = model, draws

    def forward(self, images: Images) -> Logits:
        """One row per image."""
        logits = self.model(images.repeat(self.draws, 1, 1, 1)).float().log_softmax(1)
        mean: Tensor = logits.view(self.draws, len(images), -1).mean(0)
        return mean


@dataclass(frozen=True, eq=False)
class FoolingRates:
    """How often each image reached the goal in `draws` passes."""

    hits: Tensor
    draws: int

    @property
    def per_image(self) -> PerImage:
        """The share of passes in which each image reached the goal."""
        return self.hits / self.draws

    @property
    def usually(self) -> Tensor:
        """Whether each image reached the goal in more than half of the passes."""
        return self.hits * 2 > self.draws

    def interval(self, row: int) -> tuple[float, float]:
        """The 95 % Wilson interval of one image's rate."""
        return Rate(int(self.hits[row]), self.draws).interval

    @property
    def expected_robust_accuracy(self) -> float:
        """The accuracy to expect from one pass over all images; AutoAttack judges by a single pass."""
        return 1 - float(self.per_image.mean())


def fooling_rates(model: Classifier, images: Images, goal: Goal, *, draws: int = 100) -> FoolingRates:
    """Judge images by `draws` passes each: success against a random model is a rate, not a fact."""
    if draws < 1:
        raise BadInput("fooling_rates", "draws must be at least 1", draws)
    with evaluating(model):
        passes = [goal.reached(model.predict(images)) for _ in range(draws)]
    return FoolingRates(torch.stack(passes).sum(0), draws)


@dataclass(frozen=True, kw_only=True)
class Untiring(Goal):
    """A goal that never counts as reached: against a random model a first success is a lucky draw.

    An attack that would stop there hands in an image that seldom fools; with this goal it takes all of its steps and
    hands in the image with the lowest loss.
    """

    goal: Goal

    @classmethod
    def of(cls, goal: Goal) -> Untiring:
        """`goal`, not to be stopped at."""
        return cls(goal.labels, goal.targeted, goal.eps, goal=goal)

    def seen(self, logits: Logits) -> Float[Tensor, "n c"]:
        """The logits as the goal counts them."""
        return self.goal.seen(logits)

    def reached(self, logits: Logits) -> Mask:
        """Never."""
        return torch.zeros(len(logits), dtype=torch.bool, device=logits.device)


def descend(model: Classifier, images: Images, goal: Goal, *, eps: float, steps: int) -> Images:
    """The last of `steps` signed steps of 2.5 eps / steps down the goal's loss inside the linf ball, from the image.

    Against `expect(model, draws)` this is PGD in expectation; one step of size eps is FGSM. Nothing is kept on the way
    and no image leaves early: against a random model the "first success" is a lucky draw, and an attack that stops
    there hands in an image that seldom fools.
    """
    low, high = (images - eps).clamp(0, 1), (images + eps).clamp(0, 1)
    size, moved = eps if steps == 1 else 2.5 * eps / steps, images
    with frozen(model), torch.enable_grad():
        for _ in range(steps):
            x = moved.detach().requires_grad_()
            gradient = torch.autograd.grad(goal.loss(model(x)).sum(), x)[0]
            moved = torch.minimum(torch.maximum(moved - size * gradient.sign(), low), high)
    return moved.detach()


def drawing(seed: int, *, wanted: bool) -> AbstractContextManager[None]:
    """Inside, where `wanted`, a random model draws from `seed`."""
    return seeded(seed, None) if wanted else nullcontext()
