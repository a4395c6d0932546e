"""The nouns of the field with their shapes and ranges, said once.

Images are float32 in [0, 1]; normalisation belongs to the classifier, so a budget means the same thing everywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, TypeAlias, TypeVar

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from pydantic import computed_field
from pydantic.dataclasses import dataclass as answer
from torch import Tensor

from pixelproof.errors import BadInput

Images: TypeAlias = Float[Tensor, "n c h w"]
Labels: TypeAlias = Int[Tensor, " n"]
Logits: TypeAlias = Float[Tensor, "n k"]
Heatmaps: TypeAlias = Float[Tensor, "n c h w"]
PerImage: TypeAlias = Float[Tensor, " n"]
Mask: TypeAlias = Bool[Tensor, " n"]
Norm: TypeAlias = Literal["l0", "l1", "l2", "linf"]

Same = TypeVar("Same")


@dataclass(frozen=True)
class Goal:
    """What an attacker wants: any label but `labels`, or, when targeted, exactly `labels`.

    `eps`, where given, is each image's own budget and takes the place of the attack's.
    """

    labels: Labels
    targeted: bool = False
    eps: PerImage | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self: Same, rows: Tensor | slice) -> Same:
        """The goal of some images; whatever a kind of goal adds, tensors and other goals have one row per image."""
        return _changed(self, lambda value: value[rows])

    def to(self: Same, device: torch.device) -> Same:
        """The same goal with its tensors on `device`."""
        return _changed(self, lambda value: value.to(device))

    def loss(self, logits: Logits) -> PerImage:
        """A value per image that the attacker lowers: minus the cross-entropy, or plus it when targeted.

        Where the label's probability rounds to 1 the cross-entropy and its gradient vanish in float32; the log-odds,
        a margin over all other classes at once, take over there: their gradient points where that of the
        cross-entropy would, and they are larger than every value of it that is not 0.
        """
        logits = self.seen(logits)
        cross_entropy = F.cross_entropy(logits, self.labels, reduction="none")
        if self.targeted:
            return cross_entropy
        vanished = cross_entropy == 0
        if not vanished.any():
            return -cross_entropy
        others = logits.scatter(1, self.labels[:, None], float("-inf")).logsumexp(1)
        own = logits.gather(1, self.labels[:, None])[:, 0]
        return torch.where(vanished, own - others, -cross_entropy)

    def vanished(self, loss: PerImage) -> Mask:
        """At which images a value of `loss` is the log-odds in the place of a cross-entropy that vanished."""
        return torch.zeros_like(loss, dtype=torch.bool) if self.targeted else loss > 0

    def margin(self, logits: Logits) -> PerImage:
        """How far each image is from the goal, in logits: positive before it is reached, negative after."""
        logits = self.seen(logits)
        own = logits.gather(1, self.labels[:, None])[:, 0]
        others = logits.scatter(1, self.labels[:, None], float("-inf")).amax(1)
        return others - own if self.targeted else own - others

    def reached(self, logits: Logits) -> Mask:
        """Whether each image's predicted class fulfils the goal."""
        hit = self.seen(logits).argmax(1) == self.labels
        return hit if self.targeted else ~hit

    def seen(self, logits: Logits) -> Logits:
        """The logits as this goal counts them: as they are; a goal that weighs other outputs in says how."""
        return logits


@answer(frozen=True)
class Rate:
    """A share `hits / n` with its 95 % Wilson interval (Wilson 1927); `value` is null when nothing was counted."""

    hits: int
    n: int

    def __float__(self) -> float:
        return self.hits / self.n if self.n else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
        """Lower and upper end of the 95 % interval; (0, 1) when nothing was counted."""
        if not self.n:
            return 0.0, 1.0
        z2 = 1.959964**2
        centre = (self.hits + z2 / 2) / (self.n + z2)
        half = (z2 * (self.hits * (self.n - self.hits) / self.n + z2 / 4)) ** 0.5 / (self.n + z2)
        low = centre - half if self.hits else 0.0  # exact at both ends, where rounding would miss them
        high = centre + half if self.hits < self.n else 1.0
        return low, high

    @computed_field  # type: ignore[prop-decorator]
    @property
    def value(self) -> float | None:
        """The share, None when nothing was counted."""
        return self.hits / self.n if self.n else None

    @computed_field  # type: ignore[prop-decorator]
    @property
    def low(self) -> float:
        """Lower end of the 95 % interval."""
        return self.interval[0]

    @computed_field  # type: ignore[prop-decorator]
    @property
    def high(self) -> float:
        """Upper end of the 95 % interval."""
        return self.interval[1]

    def __str__(self) -> str:
        low, high = self.interval
        return f"{100 * float(self):.1f} % [{100 * low:.1f}, {100 * high:.1f}], n={self.n}"

    def __format__(self, spec: str) -> str:
        """Text with interval and n; with a format, such as .3f, the share alone."""
        return format(float(self), spec) if spec else str(self)


def _changed(goal: Same, change: Callable[[Any], Any]) -> Same:
    """The same kind of goal with each of its tensors, and those of goals inside it, changed."""
    whole: Any = goal
    values = {field.name: getattr(goal, field.name) for field in fields(whole)}
    rows = {name: change(value) for name, value in values.items() if isinstance(value, Tensor | Goal)}
    changed: Same = replace(whole, **rows)
    return changed


def check_images(who: str, images: Tensor) -> None:
    """Refuse anything that is not a non-empty float batch (n, c, h, w) with finite values in [0, 1]."""
    if images.ndim != 4:
        raise BadInput(who, "images must have shape (n, c, h, w)", tuple(images.shape), "Add the missing axes first.")
    if not len(images):
        raise BadInput(who, "at least one image is needed", "an empty batch", "Check the split or the filter.")
    if not images.is_floating_point():
        raise BadInput(who, "images must be floats in [0, 1]", images.dtype, "Convert with images.float() / 255.")
    low, high = images.aminmax()
    if not (torch.isfinite(low) and torch.isfinite(high)):
        raise BadInput(who, "images must be finite", "NaN or infinity", "Clean the data first.")
    if low < 0:
        raise BadInput(who, "images must lie in [0, 1]", f"min {low:.4g}", "Undo the normalisation; the model owns it.")
    if high > 1:
        raise BadInput(who, "images must lie in [0, 1]", f"max {high:.4g}", "Divide by 255 first.")


def check_labels(who: str, labels: Tensor, *, n: int, classes: int) -> None:
    """Refuse labels that are not `n` integers in [0, classes)."""
    if labels.ndim != 1 or len(labels) != n:
        raise BadInput(who, f"one label per image is needed ({n})", tuple(labels.shape), "Match images and labels.")
    if labels.is_floating_point() or labels.dtype == torch.bool:
        raise BadInput(who, "labels must be integers", labels.dtype, "Convert with labels.long().")
    if n and (labels.min() < 0 or labels.max() >= classes):
        worst = labels.max() if labels.max() >= classes else labels.min()
        raise BadInput(who, f"labels must lie in 0..{classes - 1}", int(worst), "Check the class list.")
