"""Watched: a classifier that keeps, for every image, what an attack asked of it and when it first broke."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from pixelproof.attacks.attack import Model
from pixelproof.errors import BadInput, NoGradient
from pixelproof.models import Card, Classifier
from pixelproof.types import Goal, Images, Logits, PerImage

CPU_CHUNK = 64  # activations of larger batches leave the cache and the allocator: up to twice the time per image
GPU_CHUNK = 1024
ORDINARY = (2.0**-6, 2.0**7)  # every attack works at logits of these sizes as they are
RESCALED = "the logits are smaller or larger than usual; attacked were multiples of them, which decide alike"
OUT_OF_REACH = 200  # a logit that is so many times further below the first than the one before it is there to exclude
EVEN = 1e3  # ... where even logits count as apart by this part of the first
USUAL = 4  # others are brought below 2**USUAL


class Tally:
    """Per image: forward and backward passes, and the forward pass in which the goal was first seen reached (or -1).

    `factor` is what each image's logits are multiplied by (0 before its first pass), `float32_only` whether the network
    could not be taken in bfloat16, and `notes` what there is to say of how the attack went.
    """

    def __init__(self, n: int, device: torch.device) -> None:
        self.forwards = torch.zeros(n, dtype=torch.long, device=device)
        self.backwards = torch.zeros(n, dtype=torch.long, device=device)
        self.first_break = torch.full((n,), -1, dtype=torch.long, device=device)
        self.factor = torch.zeros(n, device=device)
        self.float32_only = False
        self.notes: set[str] = set()


class Watched:
    """A classifier seen through some rows of a batch: every pass is counted for the images it was spent on.

    An attack whose images leave the batch goes on with `watched[live]`, which shares the tally. Half-precision passes
    are counted but never trusted to say that an image broke.

    Logits are float32. Where those of an image's first pass are smaller or larger than networks' logits are, all of its
    logits are multiplied by one power of two, which changes no decision and no order: what weighs a loss against a
    distance, and every softmax, then works at the scale it was made for.
    """

    def __init__(self, classifier: Classifier, goal: Goal, rows: Tensor | None = None, tally: Tally | None = None):
        self.classifier = classifier
        self.goal = goal
        self.rows = torch.arange(len(goal), device=classifier.device) if rows is None else rows
        self.tally = Tally(len(goal), classifier.device) if tally is None else tally

    @property
    def device(self) -> torch.device:
        """Where images must lie."""
        return self.classifier.device

    @property
    def card(self) -> Card:
        """The classifier's card."""
        return self.classifier.card

    def parts(self) -> list[Tensor]:
        """Positions of the watched rows in the portions that one gradient pass should take at once."""
        size = GPU_CHUNK if self.device.type == "cuda" else CPU_CHUNK
        positions = torch.arange(len(self.rows), device=self.device)
        return [positions[start : start + size] for start in range(0, len(positions), size)]

    def __getitem__(self, keep: Tensor) -> Watched:
        """The same classifier for some of these rows (positions or a mask), on the same tally."""
        return Watched(self.classifier, self.goal[keep], self.rows[keep], self.tally)

    def __call__(self, images: Images) -> Logits:
        """Logits, counted. `images` are the watched rows, in order, or whole copies of them one after the other."""
        with self._asked_for_a_gradient(images):
            if torch.is_grad_enabled() or len(images) != len(self.rows):
                logits: Tensor = self.classifier(images).float()
            else:
                logits = torch.cat([self.classifier(images[part]).float() for part in self.parts()])
        if not torch.isfinite(logits).all():
            raise BadInput(self.card.name, "must return finite logits", "NaN or infinity", "Check weights and images.")
        if torch.is_grad_enabled() and images.requires_grad and not logits.requires_grad:
            raise NoGradient(self.card.name)
        copies = max(1, len(images) // max(1, len(self.rows)))
        self.tally.forwards[self.rows] += copies
        logits = self._usual(logits, copies)
        if logits.requires_grad:
            logits.register_hook(self._count_backward(copies))  # type: ignore[no-untyped-call]
        half = torch.is_autocast_enabled(images.device.type)
        if not half and len(images) == len(self.rows):
            self._note_breaks(logits.detach())
        return logits

    def spent(self, forwards: Tensor, backwards: Tensor, first_break: Tensor) -> None:
        """Count passes made on the classifier itself; `first_break`: the one that first saw the goal reached, or -1."""
        before = self.tally.forwards[self.rows]
        fresh = (first_break.to(self.device) >= 0) & (self.tally.first_break[self.rows] < 0)
        self.tally.first_break[self.rows[fresh]] = (before + first_break.to(self.device))[fresh]
        self.tally.forwards[self.rows] += forwards.to(self.device)
        self.tally.backwards[self.rows] += backwards.to(self.device)

    @contextmanager
    def _asked_for_a_gradient(self, images: Images) -> Iterator[None]:
        """Inside, a network that leaves torch for numpy says so as NoGradient."""
        try:
            yield
        except RuntimeError as reason:
            if images.requires_grad and "numpy() on Tensor that requires grad" in str(reason):
                raise NoGradient(self.card.name, "a network that leaves torch on the way") from reason
            raise

    def _usual(self, logits: Logits, copies: int) -> Logits:
        """The logits times each image's factor, which its first pass decides."""
        factor = self.tally.factor[self.rows]
        fresh = factor == 0
        if fresh.any():
            factor = torch.where(fresh, usual_factor(logits.detach()[: len(factor)]), factor)
            self.tally.factor[self.rows] = factor
        if bool((factor == 1).all()):
            return logits
        self.tally.notes.add(RESCALED)
        return logits * factor.repeat(copies)[:, None]

    def _count_backward(self, copies: int) -> Callable[[Tensor], None]:
        def count(_gradient: Tensor) -> None:
            self.tally.backwards[self.rows] += copies

        return count

    def _note_breaks(self, logits: Logits) -> None:
        fresh = self.goal.reached(logits) & (self.tally.first_break[self.rows] < 0)
        if fresh.any():
            rows = self.rows[fresh]
            self.tally.first_break[rows] = self.tally.forwards[rows]


def usual_factor(logits: Logits) -> PerImage:
    """Per image 1 where the logits are of an ordinary size, else the power of two that brings it into [8, 16).

    Too large is a spread; too small must all of them be, for two classes have no spread at their boundary. Classes
    that a network has put out of reach, by logits such as -1e30, have no part in the spread.
    """
    low, high = ORDINARY
    ordered = logits.double().sort(1, descending=True).values
    gaps = ordered[:, :1] - ordered
    reach = torch.maximum(gaps[:, 1:-1], ordered[:, :1].abs() / EVEN) * OUT_OF_REACH
    inside = torch.cat([torch.ones_like(gaps[:, :2], dtype=torch.bool), (gaps[:, 2:] <= reach).cumprod(1).bool()], 1)
    spread = torch.where(inside, gaps, 0).amax(1)
    size = torch.maximum(spread, logits.abs().amax(1).double())
    small = (size > 0) & (size < low)
    exponent = (USUAL - torch.frexp(torch.where(small, size, spread)).exponent).clamp(-126, 126)
    return torch.ldexp(torch.ones_like(spread), torch.where(small | (spread > high), exponent, 0)).float()


def watch(model: Model, goal: Goal) -> Watched:
    """`model` itself when it is already watched, else a new watch over it.

    Raises BadInput for labels in place of a goal, and for a classifier in training mode, whose dropout and batch
    statistics would be attacked.
    """
    if isinstance(model, Watched):
        return model
    if not isinstance(model, Classifier):
        raise BadInput("attack", "expected a Classifier", type(model).__name__, "Wrap it with models.wrap first.")
    if not isinstance(goal, Goal):
        raise BadInput("attack", "expected a Goal", type(goal).__name__, "Write Goal(labels), or use attacks.mount.")
    if model.training:
        raise BadInput(model.card.name, "must be in evaluation mode", "training mode", "Call eval(), or attacks.mount.")
    return Watched(model, goal)
