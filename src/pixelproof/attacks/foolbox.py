"""Any attack of foolbox, run and judged by the same harness (extra: pixelproof[foolbox])."""

from __future__ import annotations

import inspect
import warnings
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch

from pixelproof import specs
from pixelproof.attacks.attack import Kind, Model, check_budget, check_settings
from pixelproof.attacks.watch import Watched, watch
from pixelproof.draws import Draws, Rng, seeded
from pixelproof.errors import BadInput, NoGradient, UnknownName
from pixelproof.specs import derived
from pixelproof.types import Goal, Images, Norm

NORMS: dict[float, Norm] = {0: "l0", 1: "l1", 2: "l2", float("inf"): "linf"}


@dataclass(frozen=True)
class Foolbox:
    """The attack that foolbox calls `attack` (Rauber et al. 2020), at budget eps.

    `settings` are foolbox's own, each written "name=value"; a spec takes them as they are, for example
    foolbox:LinfPGD,eps=0.1,steps=20. What is left out has foolbox's default.

    Foolbox draws from torch's global generator, which is seeded from the first image of each portion and restored
    afterwards: what it draws at random, unlike our own attacks, does depend on batch size and order.
    """

    attack: str
    eps: float
    settings: tuple[str, ...] = field(default=(), metadata=derived("those of foolbox"))

    name: ClassVar[str] = "foolbox"
    kind: ClassVar[Kind] = "budget"
    draws: ClassVar[bool] = True
    targetable: ClassVar[bool] = True
    rest: ClassVar[str] = "settings"

    def __post_init__(self) -> None:
        check_settings(self.name, eps=self.eps)

    @property
    def norm(self) -> Norm:
        """The norm foolbox gives for this attack; also finds out whether foolbox has it at all."""
        return NORMS[float(self._attack(_library()).distance.p)]

    def __call__(self, model: Model, images: Images, goal: Goal, rng: Rng) -> Images:
        """What foolbox returns for each portion of the batch, clipped by foolbox to the budget."""
        library = _library()
        if goal.eps is not None:
            raise BadInput(self.name, "foolbox takes one budget for all images", "one per image", "Mount them apart.")
        check_budget(self.name, self.eps, self.norm)
        watched, draws = watch(model, goal), Draws.of(rng, len(images))
        attack = self._attack(library)
        kind = library.criteria.TargetedMisclassification if goal.targeted else library.criteria.Misclassification
        found = []
        for part in watched.parts():
            wrapped = library.PyTorchModel(_Net(watched[part]), bounds=(0, 1), device=images.device)
            with seeded(int(2**31 * draws[part].uniform()[0])):
                try:
                    _, clipped, _ = attack(wrapped, images[part], kind(goal[part].labels), epsilons=self.eps)
                except NoGradient:
                    raise
                except ValueError as reason:
                    raise BadInput(self.name, f"{self.attack} must accept this goal", reason) from reason
            found.append(clipped.detach())
        return torch.cat(found)

    def _attack(self, library: Any) -> Any:
        known = {
            name: kind
            for name, kind in inspect.getmembers(library.attacks, inspect.isclass)
            if not inspect.isabstract(kind) and issubclass(kind, library.attacks.base.Attack)
        }
        if self.attack not in known:
            raise UnknownName(self.name, "foolbox attack", self.attack, known)
        kind = known[self.attack]
        names = [name for name in inspect.signature(kind.__init__).parameters if name != "self"]
        chosen = {}
        for text in self.settings:
            name, _, value = text.partition("=")
            if name not in names:
                raise UnknownName(f"{self.name} {self.attack}", "setting", name, names)
            chosen[name] = _value(value)
        return kind(**chosen)


def _value(text: str) -> object:
    """A setting's value: true, false, none, a whole number, a number, a fraction, else the text."""
    named = {"true": True, "false": False, "none": None}
    if text.lower() in named:
        return named[text.lower()]
    for read in (int, specs.number):
        try:
            return read(text)
        except (ValueError, ZeroDivisionError):
            continue
    return text


class _Net(torch.nn.Module):
    """What foolbox wants to see: a torch module in evaluation mode."""

    def __init__(self, watched: Watched) -> None:
        super().__init__()
        self.watched = watched
        self.eval()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.watched(images)


def _library() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # foolbox imports from places that scipy has moved
            import foolbox
    except ImportError as reason:
        raise BadInput("foolbox", "needs the extra", "no foolbox", "pip install 'pixelproof[foolbox]'.") from reason
    return foolbox
