"""Which window of every layer one changed pixel can touch, worked out once per model.

Along one axis a change of the inputs low..high of a window operation (reach k, stride s, padding p) touches the outputs
ceil((low + p - k + 1) / s) .. floor((high + p) / s); elementwise operations keep the interval, a sum takes the union.
Unclipped, all pixels of one phase (their row and column modulo the strides so far) have windows of the same shape, so
one batch serves them all, and cells outside the map are masked: best for few candidates per pixel. Clipped to the map,
windows are as small as can be but differ near the border: best for many candidates per pixel, as in a certificate.
Incremental evaluation of a convolutional network from cached activations: Nakandala et al. 2019 (Krypton, SIGMOD).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from pixelproof.attacks.pixel.flops import Flops
from pixelproof.attacks.pixel.ops import (
    Add,
    Affine,
    Conv,
    Flatten,
    GraphStep,
    Linear,
    Mean,
    Op,
    Pair,
    Pointwise,
    Pool,
    Relu,
    Span,
)
from pixelproof.attacks.pixel.words import Unreadable, brief, in_words

LARGEST_SHARE = 0.75  # a window that covers more of its map than this is not worth following
LOCAL = (Conv, Pool, Affine, Relu, Pointwise, Add)
Part: TypeAlias = tuple[int, int, int, int]  # top, bottom, left, right; half open


@dataclass(frozen=True)
class Track:
    """The windows of one changed row (or column): an interval per value, and what the steps read around it."""

    spans: dict[int, Span]
    regions: dict[int, Span]
    pads: dict[int, tuple[Pair, ...]]

    def grown(self, step: GraphStep, position: int, axis: int, size: int | None) -> Track:
        """This track with one more step, the one at `position`; its window is clipped to a map of `size` cells."""
        op = step.op
        spans = [self.spans[source] for source in step.inputs]
        low, high = min(span[0] for span in spans), max(span[1] for span in spans)
        regions, pads = self.regions, self.pads
        if isinstance(op, Conv | Pool):
            reach, stride, padding = op.window(axis)
            first = -((padding - reach + 1 + low) // -stride)
            last = max(first, (high + padding) // stride)
            if size is not None:
                first = min(max(first, 0), size - 1)
                last = max(first, min(last, size - 1))
            region = (first * stride - padding, last * stride - padding + reach - 1)
            regions = {**regions, position: region}
            pads = {**pads, position: ((low - region[0], region[1] - high),)}
            low, high = first, last
        elif isinstance(op, Add):
            pads = {**pads, position: tuple((span[0] - low, high - span[1]) for span in spans)}
        return Track({**self.spans, position + 1: (low, high)}, regions, pads)

    @property
    def shape(self) -> tuple[object, ...]:
        """What two rows must share to be evaluated in one batch."""
        return tuple(high - low for low, high in self.spans.values()), tuple(self.pads.values())


@dataclass(frozen=True)
class Entry:
    """Where the local part hands over to the dense part: the local value and the value that the dense part reads."""

    kind: Literal["linear", "mean", "map"]
    source: int
    target: int


@dataclass(frozen=True, eq=False)
class Plan:
    """How to evaluate one-pixel changes of a model from cached clean activations."""

    steps: tuple[GraphStep, ...]
    shapes: tuple[tuple[int, ...], ...]
    local: tuple[int, ...]
    tail: tuple[int, ...]
    entries: tuple[Entry, ...]
    rows: tuple[Track, ...]
    columns: tuple[Track, ...]
    phases: Tensor
    dtype: torch.dtype
    flops: float
    flops_per_candidate: float = 0.0

    @property
    def size(self) -> Pair:
        """Height and width of an image."""
        return self.shapes[0][2], self.shapes[0][3]

    @property
    def gain(self) -> float:
        """How many times fewer multiplications a candidate needs than a full forward pass."""
        return self.flops / max(self.flops_per_candidate, 1.0)

    def by_phase(self, positions: Tensor) -> list[Tensor]:
        """Row numbers of `positions` (n), one tensor per phase."""
        found = self.phases[positions]
        return [(found == phase).nonzero()[:, 0] for phase in sorted(set(found.tolist()))]

    def tracks(self, position: int) -> tuple[Track, Track]:
        """The tracks of a pixel's row and column."""
        return self.rows[position // self.size[1]], self.columns[position % self.size[1]]

    def reached(self, value: int, position: int) -> Part:
        """The part of a value's map that a pixel touches, clipped to the map."""
        spans = [track.spans[value] for track in self.tracks(position)]
        ends = [
            (max(low, 0), min(high + 1, size)) for (low, high), size in zip(spans, self.shapes[value][2:], strict=True)
        ]
        (top, bottom), (left, right) = ends
        return (top, bottom, left, right) if top < bottom and left < right else (0, 0, 0, 0)

    def summary(self) -> str:
        """One line for people: how far the windows are followed and what that saves."""
        last = self.steps[self.local[-1]].name if self.local else "the image"
        return f"incremental up to {last}, {self.gain:.1f} times fewer multiplications per candidate"


def draw(steps: Sequence[GraphStep], image: Tensor, *, clip: bool = False) -> Plan:
    """The plan for a graph and images shaped like `image` (1, c, h, w).

    With `clip`, windows are clipped to the maps and followed however large they become. Raises Unreadable, which names
    the step, where one cannot be run on its own.
    """
    values, flops = _tried(steps, image)
    shapes = tuple(tuple(value.shape) for value in values)
    lines = [[Track({0: (r, r)}, {}, {}) for r in range(size)] for size in shapes[0][2:]]
    local: list[int] = []
    known = {0}
    for position, step in enumerate(steps):
        if not known.issuperset(step.inputs) or not isinstance(step.op, LOCAL):
            continue
        sizes = shapes[position + 1][2:] if clip else (None, None)
        grown = [[track.grown(step, position, axis, sizes[axis]) for track in line] for axis, line in enumerate(lines)]
        small = clip or _share(grown, position + 1, shapes) <= LARGEST_SHARE
        if small or isinstance(step.op, Affine):
            lines = grown
            known.add(position + 1)
            local.append(position)
    entries, tail = _hand_over(steps, local)
    rows, columns = lines
    plan = Plan(
        tuple(steps),
        shapes,
        tuple(local),
        tail,
        entries,
        tuple(rows),
        tuple(columns),
        _phases(rows, columns),
        image.dtype,
        flops,
    )
    return replace(plan, flops_per_candidate=_local_flops(plan) + _tail_flops(plan, values))


def _tried(steps: Sequence[GraphStep], image: Tensor) -> tuple[list[Tensor], float]:
    """Every value of the graph for one image, and the multiplications and additions that it takes."""
    values = [image]
    with torch.no_grad(), Flops() as counter:
        for step in steps:
            try:
                values.append(step.op.dense(*(values[source] for source in step.inputs)))
            except Exception as reason:  # an operation of somebody else's network may raise anything
                raise Unreadable(f"{in_words(step)} cannot be run on its own ({brief(reason)})") from reason
    return values, counter.total


def _share(lines: Sequence[Sequence[Track]], value: int, shapes: Sequence[tuple[int, ...]]) -> float:
    """The share of a value's map that its largest window covers."""
    share = 1.0
    for line, size in zip(lines, shapes[value][2:], strict=True):
        share *= min(1.0, max(high - low + 1 for low, high in (track.spans[value] for track in line)) / size)
    return share


def _readers(steps: Sequence[GraphStep], value: int) -> list[int]:
    return [position for position, step in enumerate(steps) if value in step.inputs]


def _hand_over(steps: Sequence[GraphStep], local: list[int]) -> tuple[tuple[Entry, ...], tuple[int, ...]]:
    """The hand-overs to the dense part, and the dense steps that remain."""
    inside = set(local)
    entries: list[Entry] = []
    for value in (0, *(position + 1 for position in local)):
        dense = [position for position in _readers(steps, value) if position not in inside]
        if not dense and value != len(steps):
            continue
        after = _readers(steps, dense[0] + 1) if dense else []
        kinds: list[type[Op]] = [type(steps[position].op) for position in (*dense, *after)]
        if kinds == [Flatten, Linear]:
            entries.append(Entry("linear", value, after[0] + 1))
            inside |= {dense[0], after[0]}
        elif len(dense) == 1 and kinds[0] is Mean:
            entries.append(Entry("mean", value, dense[0] + 1))
            inside.add(dense[0])
        else:
            entries.append(Entry("map", value, value))
    return tuple(entries), tuple(position for position in range(len(steps)) if position not in inside)


def _phases(rows: Sequence[Track], columns: Sequence[Track]) -> Tensor:
    """The number of every pixel's phase, (h * w)."""
    kinds: list[Tensor] = []
    for line in (rows, columns):
        seen: dict[object, int] = {}
        kinds.append(torch.tensor([seen.setdefault(track.shape, len(seen)) for track in line]))
    down, across = kinds
    return (down[:, None] * (int(across.max()) + 1) + across[None]).flatten()


def _cells(plan: Plan, value: int) -> float:
    """How many cells of a value's map a pixel touches on average."""
    mean = 1.0
    for line, size in zip((plan.rows, plan.columns), plan.shapes[value][2:], strict=True):
        spans = [track.spans[value] for track in line]
        mean *= sum(max(0, min(high, size - 1) - max(low, 0) + 1) for low, high in spans) / len(spans)
    return mean


def _local_flops(plan: Plan) -> float:
    """Multiplications and additions of the local steps and of dense layers that read a part of a map, per pixel."""
    total = 0.0
    for position in plan.local:
        op = plan.steps[position].op
        if isinstance(op, Conv):
            reads = _cells(plan, plan.steps[position].inputs[0]) / (op.stride[0] * op.stride[1])
            total += 2 * op.weight.numel() * min(reads, _cells(plan, position + 1))
    for entry in plan.entries:
        op = plan.steps[entry.target - 1].op
        if entry.kind == "linear" and isinstance(op, Linear):
            total += 2 * _cells(plan, entry.source) * plan.shapes[entry.source][1] * op.weight.shape[0]
    return total


def _tail_flops(plan: Plan, values: list[Tensor]) -> float:
    """Multiplications and additions of the dense part."""
    with torch.no_grad(), Flops() as counter:
        for position in plan.tail:
            step = plan.steps[position]
            step.op.dense(*(values[source] for source in step.inputs))
    total: float = counter.total
    return total
