"""FGSM, BIM and PGD: one loop with three holes (where it starts, how far it steps, how often)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch

from pixelproof import lp
from pixelproof.attacks.attack import Kind, Model, budget, check_settings
from pixelproof.attacks.gradient_pass import look
from pixelproof.attacks.precision import Precision, in_half
from pixelproof.attacks.projected import ProjectedSteps
from pixelproof.attacks.restarts import best_of_restarts
from pixelproof.attacks.watch import Watched, watch
from pixelproof.draws import Draws, Rng
from pixelproof.errors import BadInput
from pixelproof.lp import Ball
from pixelproof.specs import derived
from pixelproof.types import Goal, Images, Mask, PerImage


@dataclass(frozen=True)
class FGSM:
    """One step of size eps along the sign of the loss gradient (Goodfellow et al. 2015, arXiv 1412.6572).

    x + eps * sign(grad L), clipped to [0, 1]; for l2 the normalised gradient takes the place of the sign.
    """

    eps: float
    norm: Ball = "linf"

    name: ClassVar[str] = "fgsm"
    kind: ClassVar[Kind] = "budget"
    draws: ClassVar[bool] = False
    targetable: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_settings(self.name, eps=self.eps, norm=self.norm)

    def __call__(self, model: Model, images: Images, goal: Goal, rng: Rng) -> Images:
        """Images one step away; the step is taken whether or not it helps."""
        gradient = look(watch(model, goal), images, goal).gradient
        eps = lp.per_image(budget(self.eps, images, goal))
        return (images - eps * lp.ascent(gradient, self.norm)).clamp(0, 1)


@dataclass(frozen=True)
class BIM:
    """FGSM in small steps from the clean image, projected back each time (Kurakin et al. 2017, arXiv 1607.02533).

    `step_size` defaults to 2 eps / steps. Without `early_stop` every image takes all steps, as foolbox and Madry's own
    code do: it then lies deep behind the boundary instead of just behind it.
    """

    eps: float
    steps: int = 10
    step_size: float | None = field(default=None, metadata=derived("2 eps / steps"))
    norm: Ball = "linf"
    early_stop: bool = True

    name: ClassVar[str] = "bim"
    kind: ClassVar[Kind] = "budget"
    draws: ClassVar[bool] = False
    targetable: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_settings(self.name, eps=self.eps, norm=self.norm, at_least_one={"steps": self.steps})
        check_step(self.name, self.step_size)

    @property
    def share(self) -> float:
        """What one step is of the budget where no `step_size` is given."""
        return 2.0 / self.steps

    def used(self, device: torch.device) -> BIM:
        """The same attack with its step size written out."""
        return replace(self, step_size=settled_step(self.step_size, self.eps, self.share))

    def __call__(self, model: Model, images: Images, goal: Goal, rng: Rng) -> Images:
        """The first iterate that reaches the goal (the last one without `early_stop`), else that of lowest loss."""
        eps = budget(self.eps, images, goal)
        size = step(self.step_size, eps, self.share)
        steps = ProjectedSteps(self.steps, eps, size, self.norm, early_stop=self.early_stop)
        return steps(watch(model, goal), images, goal, images)[0]


@dataclass(frozen=True)
class PGD:
    """Projected gradient descent from random starts (Madry et al. 2018, arXiv 1706.06083).

    `step_size` defaults to 2.5 eps / steps. Each restart attacks only what the earlier ones left standing. Without
    `early_stop` every image takes all steps of its restart, as foolbox and Madry's own code do.
    `precision` "auto" takes gradients in bfloat16 where the processor has it natively and the start is random (such a
    run depends on its seed anyway); successes are always float32.
    """

    eps: float
    steps: int = 40
    step_size: float | None = field(default=None, metadata=derived("2.5 eps / steps"))
    restarts: int = 1
    norm: Ball = "linf"
    random_start: bool = True
    precision: Precision = field(default="auto", metadata=derived("bf16 where the processor has it, else float32"))
    early_stop: bool = True

    name: ClassVar[str] = "pgd"
    kind: ClassVar[Kind] = "budget"
    draws: ClassVar[bool] = True
    targetable: ClassVar[bool] = True

    def __post_init__(self) -> None:
        counts = {"steps": self.steps, "restarts": self.restarts}
        check_settings(self.name, eps=self.eps, norm=self.norm, at_least_one=counts)
        check_step(self.name, self.step_size)
        if self.restarts > 1 and not self.random_start:
            raise BadInput(self.name, "restarts need a random start", f"restarts={self.restarts}, random_start=false")

    @property
    def share(self) -> float:
        """What one step is of the budget where no `step_size` is given."""
        return 2.5 / self.steps

    def used(self, device: torch.device) -> PGD:
        """The same attack with its step size and its precision written out."""
        size = settled_step(self.step_size, self.eps, self.share)
        return replace(self, step_size=size, precision="bf16" if self._half(device) else "float32")

    def __call__(self, model: Model, images: Images, goal: Goal, rng: Rng) -> Images:
        """The first iterate that reaches the goal (the last one of its restart without `early_stop`), else the best."""
        return best_of_restarts(self._run, model, images, goal, rng, objectives=[goal] * self.restarts)

    def _run(self, model: Watched, images: Images, goal: Goal, draws: Draws) -> tuple[Images, Mask, PerImage]:
        eps = budget(self.eps, images, goal)
        return self.descent(images, eps)(model, images, goal, self.start(images, draws, eps))

    def descent(self, images: Images, eps: PerImage | None = None) -> ProjectedSteps:
        """This attack's loop for `images`, at its own budget or at one budget per image."""
        eps = budget(self.eps, images) if eps is None else eps
        size = step(self.step_size, eps, self.share)
        return ProjectedSteps(self.steps, eps, size, self.norm, self._half(images.device), self.early_stop)

    def _half(self, device: torch.device) -> bool:
        """Whether gradients are taken in bfloat16; a run without a random start should not depend on the processor."""
        return in_half(self.precision, device) and (self.random_start or self.precision == "bf16")

    def start(self, images: Images, draws: Draws, eps: PerImage | None = None) -> Images:
        """Where to start: uniformly inside the ball, or at the image itself."""
        if not self.random_start:
            return images
        eps = budget(self.eps, images) if eps is None else eps
        return (images + lp.random_start(draws, tuple(images.shape[1:]), eps, self.norm)).clamp(0, 1)


def step(size: float | None, eps: PerImage, relative: float) -> PerImage:
    """The step size per image: the one given, else a share of each image's budget."""
    return eps * relative if size is None else torch.full_like(eps, size)


def settled_step(size: float | None, eps: float, relative: float) -> float | None:
    """The step size at the attack's own budget; none where the budget leaves nothing to step over."""
    return size if size is not None else relative * eps or None


def check_step(who: str, size: float | None) -> None:
    """Refuse a step that does not move."""
    if size is not None and not size > 0:
        raise BadInput(who, "step_size must be positive", size, "Leave it out for the default share of eps.")
