"""What the two passes of a bound share: one pixel of one image, and what the forward pass leaves behind."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pixelproof.attacks.pixel.incremental import Incremental, IncrementalScene
from pixelproof.attacks.pixel.ops import Relu
from pixelproof.attacks.pixel.windows import PixelWindows
from pixelproof.prove.linear import Rounded, Weights
from pixelproof.prove.relax import Form, Relaxation
from pixelproof.prove.subject import Margin


@dataclass(frozen=True, eq=False)
class Bent:
    """A rectifier between dense layers: its values' linear part (1 + g, n, k), their error (n, k), its relaxation."""

    x: Tensor
    error: Tensor
    how: Relaxation


@dataclass(frozen=True, eq=False)
class Trace:
    """What a forward pass of bounds leaves for the backward one.

    `forms` are those of every value on the windows, `entering` is what the dense layers read.
    """

    forms: dict[int, Form]
    relaxed: dict[tuple[int, int], Relaxation]
    rounded: dict[int, Rounded]
    tail: list[Bent | Rounded]
    margin: Tensor
    generators: Tensor
    error: Tensor
    entering: Form


class Site:
    """One pixel of one image, ready to be bounded: its windows, and the dense layer's columns that read them.

    `weights` are those of the convolutions, `symbols` how many errors of which rectifiers are kept apart, by the step's
    position in the plan.
    """

    def __init__(
        self,
        engine: Incremental,
        scene: IncrementalScene,
        margin: Margin,
        tables: tuple[dict[int, Weights], dict[int, int]],
        position: int,
    ) -> None:
        self.engine, self.plan, self.scene, self.margin = engine, engine.plan, scene, margin
        self.weights, self.symbols = tables
        self.colour = scene.values[0][0].flatten(1).t()[position]
        self.windows = PixelWindows(self.plan, scene, torch.tensor([position]), self.colour[None, None])
        self.rectified = {at for at in self.plan.local if self._rectified(at + 1)}
        entry = margin.entry
        part = self.plan.reached(entry.source, position)
        corner = [track.spans[entry.source][0] for track in self.plan.tracks(position)]
        self.cells = tuple(slice(part[2 * k] - corner[k], part[2 * k + 1] - corner[k]) for k in range(2))
        self.entry = Weights.of(engine.columns(entry, part))

    def _rectified(self, value: int) -> bool:
        """Whether a rectifier is all that reads a value."""
        readers = [step for step in self.plan.steps if value in step.inputs]
        return bool(readers) and all(isinstance(step.op, Relu) for step in readers)
