"""What `attack` found: how many images of a test set one attack turned, and at what cost."""

from __future__ import annotations

from pydantic import Field

from pixelproof.results.attacked import AttackedRecord
from pixelproof.scores import median
from pixelproof.types import Norm, Rate
from pixelproof.views.answer import Answer


class AttackAnswer(Answer):
    """One attack on the correctly classified images of a test set."""

    attack: str = Field(description="As it was asked for.")
    settings: str = Field(description="With the value of every setting that ran.")
    data: str = Field(description="The data set.")
    model: str = Field(description="The network that judges.")
    searched_on: str | None = Field(description="The network that was searched on; null where that is the model.")
    seed: int = Field(description="Of the attack's random numbers.")
    n: int = Field(description="Attacked images: those classified correctly before.")
    offered: int = Field(description="All images that were given.")
    clean_accuracy: Rate = Field(description="Of all images that were given.")
    fooled: int = Field(description="Images that the attack turned.")
    fooled_8bit: int = Field(description="Those that are still turned when saved with 8 bits per value.")
    robust_accuracy: Rate = Field(description="Of all images given, those right and not turned: an upper bound.")
    left_standing: Rate = Field(description="Of the attacked images, those not turned: an upper bound.")
    expected_robust_accuracy: float | None = Field(description="In one more pass of a random model; else null.")
    notes: tuple[str, ...] = Field(description="Where the attack did not go as usual.")
    norm: Norm = Field(description="In which the attack measures.")
    median_distance_of_fooled: float | None = Field(description="In that norm; null where nothing was turned.")
    median_first_break: float | None = Field(description="Forward pass that first saw the goal reached.")
    forwards_per_image: float = Field(description="Mean forward passes.")
    backwards_per_image: float = Field(description="Mean backward passes.")
    seconds: float = Field(description="Of the attack.")


def attacked(record: AttackedRecord) -> AttackAnswer:
    """An attack as an answer."""
    found = record.found
    looked = found.success & (found.first_break >= 0)
    return AttackAnswer(
        attack=found.attack,
        settings=found.used or found.attack,
        data=found.data,
        model=found.model,
        searched_on=record.searched_on or None,
        seed=found.seed,
        n=len(found),
        offered=found.offered,
        clean_accuracy=found.clean_accuracy,
        fooled=int(found.success.sum()),
        fooled_8bit=int(found.success_8bit.sum()),
        robust_accuracy=found.robust_accuracy,
        left_standing=found.left_standing,
        expected_robust_accuracy=None if found.rate is None else round(found.expected_robust_accuracy, 6),
        notes=found.notes,
        norm=found.norm,
        median_distance_of_fooled=median(found.distance[found.norm][found.success]),
        median_first_break=median(found.first_break[looked]),
        forwards_per_image=round(float(found.forwards.double().mean()), 2) if len(found) else 0.0,
        backwards_per_image=round(float(found.backwards.double().mean()), 2) if len(found) else 0.0,
        seconds=round(found.seconds, 3),
    )
