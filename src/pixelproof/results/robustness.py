"""What a study keeps: facts per image, and a few whole images to look at."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pixelproof.attacks import AdversarialSet
from pixelproof.data import stratified
from pixelproof.types import Goal, Labels, Mask, PerImage


@dataclass(frozen=True, eq=False)
class CleanRecord:
    """How the classifier does on clean test images, with its size (parameters, bytes) and seconds per image."""

    data: str
    classes: tuple[str, ...]
    index: Tensor
    labels: Labels
    predicted: Labels
    parameters: int
    size_bytes: int
    seconds_per_image: float
    digest: str
    data_digest: str = ""
    train_digest: str = ""


@dataclass(frozen=True, eq=False)
class AttackRecord:
    """One attack at one budget: facts for every attacked image, whole images for the rows in `shown`.

    `label` names the attack without its budget, `spec` with everything. `shared_cost`: passes, seconds and first break
    are those of one search over several budgets, not of this one. `margin`: logit of the true class minus the highest
    other one, negative where the image is misclassified (None in runs from before it was kept). `notes` are sentences
    on how the attack went where it did not go as usual.
    """

    label: str
    spec: str
    norm: str
    eps: float | None
    seed: int
    offered: int
    index: Tensor
    labels: Labels
    predicted: Labels
    success: Mask
    success_8bit: Mask
    distance: dict[str, PerImage]
    first_break: Tensor
    forwards: Tensor
    backwards: Tensor
    seconds: float
    shown: Int[Tensor, " m"]
    clean: Float[Tensor, "m c h w"]
    images: Float[Tensor, "m c h w"]
    shared_cost: bool = False
    margin: PerImage | None = None
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, adversarial: AdversarialSet, label: str, examples: int, *, shared_cost: bool) -> AttackRecord:
        """Keep the facts, and a stratified sample of `examples` images that depends on the labels alone."""
        n = min(examples, len(adversarial))
        shown = stratified(adversarial.labels, n, adversarial.seed) if n else torch.empty(0, dtype=torch.long)
        return cls(
            label=label,
            spec=adversarial.attack,
            norm=adversarial.norm,
            eps=adversarial.eps,
            seed=adversarial.seed,
            offered=adversarial.offered,
            index=adversarial.index,
            labels=adversarial.labels,
            predicted=adversarial.predicted,
            success=adversarial.success,
            success_8bit=adversarial.success_8bit,
            distance=adversarial.distance,
            first_break=adversarial.first_break,
            forwards=adversarial.forwards,
            backwards=adversarial.backwards,
            seconds=adversarial.seconds,
            shown=shown,
            clean=adversarial.clean[shown],
            images=adversarial.images[shown],
            shared_cost=shared_cost,
            margin=Goal(adversarial.labels).margin(adversarial.logits),
            notes=adversarial.notes,
        )

    def __len__(self) -> int:
        return len(self.success)
