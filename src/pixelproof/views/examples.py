"""Images under attack: the facts of every one, and a few of every attack, clean beside adversarial."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import Field
from torch import Tensor

from pixelproof.views.answer import Answer
from pixelproof.views.attack_records import records
from pixelproof.views.open_run import OpenRun


class AttackedImage(Answer):
    """One attacked image; distances and first break are null where the attack failed or never looked."""

    attack: str = Field(description="As the study names it.")
    eps: float | None = Field(description="The budget; null for attacks that look for the smallest change.")
    index: int = Field(description="Position in the original file.")
    label: str = Field(description="Name of the true class.")
    predicted: str = Field(description="Name of the class it is taken for after the attack.")
    success: bool = Field(description="It is misclassified after the attack.")
    success_8bit: bool = Field(description="It still is after rounding to 8 bits.")
    distance: dict[str, float | None] = Field(description="By norm.")
    first_break: int | None = Field(description="Forward pass that first saw it misclassified.")
    forwards: int = Field(description="Forward passes of this image.")
    backwards: int = Field(description="Backward passes of this image.")


@dataclass(frozen=True, eq=False)
class Example:
    """One clean image (c, h, w) and its adversarial twin, with the class names before and after."""

    attack: str
    eps: float | None
    index: int
    label: str
    predicted: str
    success: bool
    linf: float
    clean: Tensor
    image: Tensor


def images(opened: OpenRun) -> Iterator[AttackedImage]:
    """One row per attack, budget and attacked image."""
    names = opened.clean.classes
    for record in records(opened.run):
        for row, success in enumerate(record.success.tolist()):
            seen = success and not record.shared_cost and record.first_break[row] >= 0
            yield AttackedImage(
                attack=record.label,
                eps=record.eps,
                index=int(record.index[row]),
                label=names[int(record.labels[row])],
                predicted=names[int(record.predicted[row])],
                success=success,
                success_8bit=bool(record.success_8bit[row]),
                distance={norm: float(values[row]) if success else None for norm, values in record.distance.items()},
                first_break=int(record.first_break[row]) if seen else None,
                forwards=int(record.forwards[row]),
                backwards=int(record.backwards[row]),
            )


def examples(opened: OpenRun, *, attack: str, eps: float, limit: int) -> list[Example]:
    """The first `limit` of the images kept for an attack and budget: a stratified sample, successes or not."""
    names = opened.clean.classes
    found = []
    for record in records(opened.run):
        if record.label != attack or record.eps != eps:
            continue
        for position, row in enumerate(record.shown.tolist()[:limit]):
            found.append(
                Example(
                    attack=attack,
                    eps=record.eps,
                    index=int(record.index[row]),
                    label=names[int(record.labels[row])],
                    predicted=names[int(record.predicted[row])],
                    success=bool(record.success[row]),
                    linf=float(record.distance["linf"][row]),
                    clean=record.clean[position],
                    image=record.images[position],
                )
            )
    return found
