"""What an attacker lowers on the way to a goal: cross-entropy, margins and ratios of margins, also towards a rival."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pixelproof.errors import BadInput
from pixelproof.types import Goal, Labels, Logits, Mask, PerImage

Loss = Literal["ce", "margin", "dlr", "probability"]


@dataclass(frozen=True, kw_only=True)
class Objective(Goal):
    """A goal with another loss; `aim` names, per image, the one rival class that an untargeted attack heads for.

    - "ce": the cross-entropy.   - "margin": the label's logit minus the strongest other (Carlini & Wagner 2017).
    - "dlr": the margin over the spread of the first and third logit, which scaling the logits cannot hide (Croce &
      Hein 2020, arXiv 2003.01690); with a rival or target, over the spread of the first to the mean of third and
      fourth.   - "probability": the margin of the softmax (PMA, Ma et al. 2024, arXiv 2411.15210).

    An aim changes what is lowered, never what counts: any wrong class still reaches an untargeted goal.
    """

    kind: Loss
    aim: Labels | None
    goal: Goal

    @classmethod
    def of(cls, goal: Goal, kind: Loss, aim: Labels | None = None) -> Objective:
        """`goal` with the loss `kind`, headed for `aim`."""
        return cls(goal.labels, goal.targeted, goal.eps, kind=kind, aim=aim, goal=goal)

    def seen(self, logits: Logits) -> Float[Tensor, "n c"]:
        """The logits as the goal counts them."""
        return self.goal.seen(logits)

    def reached(self, logits: Logits) -> Mask:
        """Whether the goal counts each image as won, whatever loss leads there."""
        return self.goal.reached(logits)

    def loss(self, logits: Logits) -> PerImage:
        """A value per image that the attacker lowers."""
        if self.kind == "ce" and self.aim is None:
            return super().loss(logits)
        logits = self.seen(logits)
        if self.kind == "ce":
            assert self.aim is not None
            return Goal(self.aim, targeted=True).loss(logits)
        if self.kind == "probability":
            return self._gap(logits.softmax(1))
        gap = self._gap(logits)
        return gap / self._spread(logits) if self.kind == "dlr" else gap

    def vanished(self, loss: PerImage) -> Mask:
        """As a goal's; nowhere for another loss than the plain cross-entropy, which cannot vanish so."""
        return super().vanished(loss) if self.kind == "ce" and self.aim is None else torch.zeros_like(loss) > 0

    def _gap(self, scores: Tensor) -> PerImage:
        """How far the goal is: the label's score minus the rival's, or the best other minus the target's."""
        own = scores.gather(1, self.labels[:, None])[:, 0]
        if self.aim is not None:
            return own - scores.gather(1, self.aim[:, None])[:, 0]
        other = scores.scatter(1, self.labels[:, None], float("-inf")).amax(1)
        return other - own if self.targeted else own - other

    def _spread(self, logits: Logits) -> PerImage:
        aimed = self.targeted or self.aim is not None
        if logits.shape[1] < 3 + aimed:
            raise BadInput("dlr", f"needs at least {3 + aimed} classes", logits.shape[1], "Use loss=margin.")
        ordered = logits.topk(3 + aimed, dim=1).values
        low = (ordered[:, 2] + ordered[:, 3]) / 2 if aimed else ordered[:, 2]
        return ordered[:, 0] - low + 1e-12


def rivals(logits: Logits, labels: Labels, count: int) -> Int[Tensor, "n r"]:
    """The `count` strongest classes other than each image's label, strongest first, (n, count)."""
    others = logits.scatter(1, labels[:, None], float("-inf"))
    return others.topk(min(count, logits.shape[1] - 1), dim=1).indices
