"""Ways to get the logits of many one-pixel changes of an image: whole forward passes, or only what changes.

Both are an `Executor`: `focus(image)` prepares one image, and the `Scene` it gives evaluates candidates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pixelproof.attacks.pixel.graph import capture
from pixelproof.attacks.pixel.incremental import Incremental
from pixelproof.attacks.pixel.plan import Plan, draw
from pixelproof.attacks.pixel.words import Unreadable, brief
from pixelproof.draws import rng_of
from pixelproof.errors import BadInput
from pixelproof.models import Classifier

BATCH = 64  # images of a full forward pass: larger batches leave the processor's cache and cost more per image
SMALLEST_GAIN = 1.2  # fewer multiplications saved than this factor: evaluate the whole image instead
TOLERANCE = 1e-4  # largest difference from the full forward pass, relative to the largest logit (or to 1)
PROBES = 48
Choice: TypeAlias = Literal["auto", "full", "incremental"]


@runtime_checkable
class Scene(Protocol):
    """One image, ready to be changed; `clean` are its own logits."""

    @property
    def clean(self) -> Float[Tensor, " k"]:
        """The unchanged image's logits."""
        ...

    def logits(self, positions: Int[Tensor, " p"], colours: Float[Tensor, "p m ch"]) -> Float[Tensor, "p m k"]:
        """Logits with the pixel at each position (row * width + column) set to each of its colours."""
        ...


@runtime_checkable
class Executor(Protocol):
    """A way to evaluate one-pixel changes; `note` says in words what it does and why."""

    @property
    def note(self) -> str:
        """What this executor does and why it was chosen."""
        ...

    def focus(self, image: Float[Tensor, "ch h w"]) -> Scene:
        """The scene of one image."""
        ...


@dataclass(frozen=True, eq=False)
class FullForward:
    """Every candidate through the whole model, in batches that fit the cache."""

    model: Classifier
    note: str = "full forward passes"

    def focus(self, image: Float[Tensor, "ch h w"]) -> FullScene:
        """The scene of one image."""
        image = image.to(self.model.device)
        with torch.no_grad():
            return FullScene(self.model, image, self.model(image[None])[0])


@dataclass(frozen=True, eq=False)
class FullScene:
    """An image whose candidates are evaluated by whole forward passes."""

    model: Classifier
    image: Tensor
    clean: Tensor

    def logits(self, positions: Int[Tensor, " p"], colours: Float[Tensor, "p m ch"]) -> Float[Tensor, "p m k"]:
        """Logits with the pixel at each position set to each of its colours."""
        count = colours.shape[1]
        width = self.image.shape[2]
        places = positions.repeat_interleave(count).to(self.image.device)
        values = colours.reshape(-1, colours.shape[2]).to(self.image.device)
        parts = [self.clean.new_empty(0, len(self.clean))]
        with torch.no_grad():
            for start in range(0, len(places), BATCH):
                place, value = places[start : start + BATCH], values[start : start + BATCH]
                batch = self.image.repeat(len(place), 1, 1, 1)
                batch[torch.arange(len(place)), :, place // width, place % width] = value
                parts.append(self.model(batch))
        return torch.cat(parts).view(len(positions), count, -1)


def executor(model: Classifier, image: Float[Tensor, "ch h w"], choice: Choice = "auto") -> Executor:
    """The executor for a model in evaluation mode and images shaped like `image`.

    "auto" plans the incremental one, checks it on `image` against full forward passes and falls back, with the reason
    in `note`, where the graph cannot be read, has no local structure, or the check fails; "incremental" raises
    BadInput then.
    """
    if choice == "full":
        return FullForward(model)
    try:
        image = image.to(model.device)
        plan = planned(model, image)
        if plan.gain < SMALLEST_GAIN:
            raise Unreadable(f"has no local structure ({plan.gain:.1f} times fewer multiplications)")
        return followed(plan, model, image)
    except Unreadable as reason:
        if choice == "incremental":
            raise BadInput(
                model.card.name, "must allow incremental evaluation", f"a graph that {reason}", "Use the full executor."
            ) from reason
        return FullForward(model, f"full forward passes: the graph {reason}")


def planned(model: Classifier, image: Float[Tensor, "ch h w"], *, clip: bool = False) -> Plan:
    """The plan of a model for images shaped like `image`; Unreadable says in words why there is none."""
    try:
        return draw(capture(model, image[None]), image[None], clip=clip)
    except Unreadable as reason:
        raise Unreadable(f"cannot be read: {reason}") from reason
    except Exception as reason:  # other people's graphs hold what no list foresees
        raise Unreadable(f"cannot be read: {brief(reason)}") from reason


def followed(plan: Plan, model: Classifier, image: Float[Tensor, "ch h w"]) -> Incremental:
    """The incremental executor of a plan, compared with the model on `image`; Unreadable says why there is none."""
    engine = Incremental(plan, plan.summary())
    try:
        error = discrepancy(engine, model, image)
    except Exception as reason:  # whatever it is, full passes still work, or raise it again
        raise Unreadable(f"cannot be followed: {brief(reason)}") from reason
    if not error <= TOLERANCE:
        raise Unreadable(f"differs from the forward pass, followed step by step, by {error:.1e} of the logits")
    return engine


def discrepancy(engine: Executor, model: Classifier, image: Float[Tensor, "ch h w"]) -> float:
    """The largest difference between an executor's logits and the model's, relative to the largest logit (or to 1).

    Compared on pixels spread over the image and its border, in black, white and a colour of their own.
    """
    channels, height, width = image.shape
    generator = rng_of(0)
    spread = torch.randperm(height * width, generator=generator)[:PROBES]
    corners = torch.tensor([0, width - 1, (height - 1) * width, height * width - 1])
    positions = torch.cat([spread, corners])
    own = torch.rand((len(positions), 1, channels), generator=generator)
    colours = torch.cat([torch.zeros_like(own), torch.ones_like(own), own], 1).to(image)
    truth = FullForward(model).focus(image)
    scene = engine.focus(image)
    wanted = truth.logits(positions, colours)
    worst = (scene.logits(positions, colours) - wanted).abs().max().maximum((scene.clean - truth.clean).abs().max())
    return float(worst / wanted.abs().max().clamp_min(1.0))
