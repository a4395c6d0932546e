"""Any attack of foolbox, run and judged by the same harness (extra: pixelproof[foolbox])."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from pixelproof.attacks.attack import Model, check_settings
from pixelproof.attacks.watch import Watched, watch
from pixelproof.draws import Draws, Rng
from pixelproof.errors import BadInput, UnknownName
from pixelproof.types import Goal, Images, Norm

NORMS: dict[str, Norm] = {"l0": "l0", "l1": "l1", "l2": "l2", "linf": "linf"}


@dataclass(frozen=True)
class Foolbox:
    """The attack that foolbox calls `attack` (Rauber et al. 2020), with foolbox's defaults, at budget eps.

    Foolbox draws from torch's global generator; it is seeded from `rng` for the call and restored afterwards.
    """

    attack: str
    eps: float
    norm: Norm = "linf"

    name: ClassVar[str] = "foolbox"

    def __post_init__(self) -> None:
        check_settings(self.name, eps=self.eps)

    def __call__(self, model: Model, images: Images, goal: Goal, rng: Rng) -> Images:
        """What foolbox returns for this batch, clipped by foolbox to the budget."""
        library = _library()
        watched = watch(model, goal)
        criterion = library.criteria.TargetedMisclassification if goal.targeted else library.criteria.Misclassification
        attack = self._attack(library)
        wrapped = library.PyTorchModel(_Net(watched), bounds=(0, 1), device=images.device)
        seed = int(2**31 * Draws.of(rng, len(images)).uniform()[0])
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            _, clipped, _ = attack(wrapped, images, criterion(goal.labels), epsilons=self.eps)
        result: Images = clipped.detach()
        return result

    def _attack(self, library: Any) -> Any:
        known = {
            name: kind
            for name, kind in inspect.getmembers(library.attacks, inspect.isclass)
            if not inspect.isabstract(kind) and issubclass(kind, library.attacks.base.Attack)
        }
        if self.attack not in known:
            raise UnknownName(self.name, "foolbox attack", self.attack, known)
        return known[self.attack]()


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
        import foolbox
    except ImportError as reason:
        raise BadInput("foolbox", "needs the extra", "no foolbox", "pip install 'pixelproof[foolbox]'.") from reason
    return foolbox
