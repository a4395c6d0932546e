"""What an attack is: a frozen set of settings that turns images into adversarial images."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import torch
from torch import Tensor

from pixelproof.draws import Rng
from pixelproof.errors import BadInput
from pixelproof.models import Card
from pixelproof.types import Goal, Images, Logits, Norm, PerImage


def within(attack: Attack, eps: float | None) -> Attack:
    """The attack at another budget (None: none, for a minimal one). BadInput where its budget is fixed."""
    if attack.kind == "fixed":
        raise BadInput(attack.name, f"its budget is {attack.norm} {attack.eps:g}", "other budgets", "Mount it instead.")
    settings: Any = attack
    changed: Attack = replace(settings, eps=eps)
    return changed


@runtime_checkable
class Derives(Protocol):
    """An attack with settings that follow from others, or from the device, where they are not given."""

    def used(self, device: torch.device) -> Attack:
        """The same attack with those settings written out."""
        ...


def used(attack: Attack, device: torch.device) -> Attack:
    """The attack with the value of every setting that runs on `device`: what its repr and its spec should show.

    None is left of the settings only where it means that there is no such thing, as no budget does.
    """
    return attack.used(device) if isinstance(attack, Derives) else attack


Kind = Literal["budget", "minimal", "fixed"]
BUDGET_HINT = "On images in [0, 1] write 8/255, not 8."


@runtime_checkable
class Model(Protocol):
    """What an attack may ask of a model: logits for images. A Classifier, or one that is being watched."""

    @property
    def device(self) -> torch.device:
        """Where images must lie."""
        ...

    @property
    def card(self) -> Card:
        """Name, classes and input shape."""
        ...

    def __call__(self, images: Images) -> Logits:
        """One row of logits per image in [0, 1]."""
        ...


@runtime_checkable
class Attack(Protocol):
    """A frozen dataclass whose fields are its hyper-parameters, its repr, its spec and its log entry.

    `eps` is the budget in `norm`, or None for an attack that looks for the smallest perturbation. The result is the
    best image found, in [0, 1] and inside the budget, whether or not it reaches the goal.

    What it is: `kind` "budget" needs a budget, "minimal" looks for the smallest perturbation and only cuts it back to a
    budget, "fixed" has one that follows from other settings; `draws`, whether its results may depend on the seed;
    `targetable`, whether it can head for a given class.
    """

    name: ClassVar[str]
    kind: ClassVar[Kind]
    draws: ClassVar[bool]
    targetable: ClassVar[bool]

    @property
    def norm(self) -> Norm:
        """The norm in which the perturbation is measured."""
        ...

    @property
    def eps(self) -> float | None:
        """The budget, None when the attack has none."""
        ...

    def __call__(self, model: Model, images: Images, goal: Goal, rng: Rng) -> Images:
        """Adversarial images for `images`, in the same order."""
        ...


def check_settings(
    who: str, *, eps: float | None = None, norm: Norm | None = None, at_least_one: dict[str, int] | None = None
) -> None:
    """Refuse a budget that is no number, negative, not finite or, in linf, above 1; and counts below one."""
    if eps is not None:
        check_budget(who, eps, norm)
    for key, value in (at_least_one or {}).items():
        if value < 1:
            raise BadInput(who, f"{key} must be at least 1", value)


def check_budget(who: str, eps: float | str, norm: Norm | None) -> None:
    """Refuse a budget that cannot be right; in linf that is one above 1, which is the range of the images."""
    if isinstance(eps, str):
        raise BadInput(who, "eps must be a number", f"the text '{eps}'", f"attacks.parse reads '{who}:eps={eps}'.")
    if not 0 <= eps < float("inf"):
        raise BadInput(who, "eps must be a finite number >= 0", eps, BUDGET_HINT)
    if norm == "linf" and eps > 1:
        raise BadInput(who, "eps must lie in 0..1 in linf", eps, BUDGET_HINT)


def budget(eps: float, images: Tensor, goal: Goal | None = None) -> PerImage:
    """Every image's budget, on their device: the goal's own ones where it has them, else the same for all."""
    if goal is not None and goal.eps is not None:
        return goal.eps.to(images)
    return torch.full((len(images),), eps, dtype=images.dtype, device=images.device)


def limit(eps: float | None, images: Tensor, goal: Goal) -> PerImage | None:
    """As `budget`, None where there is neither the attack's nor the goal's."""
    return None if eps is None and goal.eps is None else budget(eps or 0.0, images, goal)
