"""The incremental executor: only the windows that a changed pixel touches, from the clean image's activations.

A candidate is carried as the *change* of each value on its window. Convolutions, averages and sums are linear, so they
map changes to changes; a rectifier or a maximum needs the whole value, so the clean window is added before it and
subtracted after it. Dense layers read only the columns of the cells that changed.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from pixelproof.attacks.pixel.graph import Add, Affine, Conv, Linear, Pointwise, Pool, Relu, run
from pixelproof.attacks.pixel.plan import Entry, Part, Plan

CHUNK = 96  # candidates whose windows are evaluated together: what fits the processor's cache
SLAB = 8192  # candidates whose last windows are kept until the dense layers run
MAP_SLAB = 64  # the same where the dense part needs whole maps
PACKED_BYTES = 2**28  # parts of dense weights are kept in the processor's own layout up to this size
NOWHERE = -1e30  # a cell outside the map, as a rectifier or a maximum must see it


@dataclass(frozen=True, eq=False)
class Incremental:
    """An executor that follows a plan; weights it has prepared are kept for the next image."""

    plan: Plan
    note: str
    kernels: dict[int, Tensor] = field(default_factory=dict)
    parts: dict[tuple[int, Part], Tensor] = field(default_factory=dict)
    corners: dict[tuple[int, int], tuple[Tensor, Tensor]] = field(default_factory=dict)

    def focus(self, image: Float[Tensor, "ch h w"]) -> IncrementalScene:
        """The scene of one image: one forward pass whose activations are kept."""
        with torch.no_grad():
            values = run(self.plan.steps, image[None].to(memory_format=torch.channels_last))
        return IncrementalScene(self, values)

    def kernel(self, position: int) -> Tensor:
        """A convolution's weight in channels-last layout."""
        if position not in self.kernels:
            op = self.plan.steps[position].op
            assert isinstance(op, Conv)
            self.kernels[position] = op.weight.contiguous(memory_format=torch.channels_last)
        return self.kernels[position]

    def dense(self, rows: Tensor, entry: Entry, part: Part) -> Tensor:
        """A dense layer's answer to changed cells: `rows` (n, cells * channels) of one part of its input map."""
        key = (entry.target, part)
        weight = self.parts.get(key)
        if weight is None:
            op = self.plan.steps[entry.target - 1].op
            assert isinstance(op, Linear)
            _, channels, height, width = self.plan.shapes[entry.source]
            top, bottom, left, right = part
            cells = op.weight.view(-1, channels, height, width)[:, :, top:bottom, left:right]
            weight = cells.permute(0, 2, 3, 1).flatten(1).contiguous()
            used = 4 * sum(kept.numel() for kept in self.parts.values())
            if used + 4 * weight.numel() <= PACKED_BYTES:
                if weight.dtype == torch.float32 and weight.device.type == "cpu" and torch.backends.mkldnn.is_available():
                    weight = weight.to_mkldnn()
                self.parts[key] = weight
        if weight.is_mkldnn:
            answer: Tensor = F.linear(rows.to_mkldnn(), weight).to_dense()
            return answer
        return rows @ weight.t()

    def corner(self, value: int, region: int) -> tuple[Tensor, Tensor]:
        """First row and first column of every pixel's window of a value (or of the region that a step reads)."""
        if (value, region) not in self.corners:
            lines = (self.plan.rows, self.plan.columns)
            down, across = (
                torch.tensor([(track.spans[value] if region < 0 else track.regions[region])[0] for track in line])
                for line in lines
            )
            self.corners[value, region] = (down, across)
        return self.corners[value, region]


@dataclass(frozen=True, eq=False)
class IncrementalScene:
    """An image with its cached activations."""

    engine: Incremental
    values: list[Tensor]
    padded: dict[tuple[int, bool], tuple[Tensor, int]] = field(default_factory=dict)

    @property
    def clean(self) -> Float[Tensor, " k"]:
        """The unchanged image's logits."""
        return self.values[-1][0]

    def logits(self, positions: Int[Tensor, " p"], colours: Float[Tensor, "p m ch"]) -> Float[Tensor, "p m k"]:
        """Logits with the pixel at each position set to each of its colours."""
        count = colours.shape[1]
        whole_maps = any(entry.kind == "map" for entry in self.engine.plan.entries)
        slab = max(1, (MAP_SLAB if whole_maps else SLAB) // max(count, 1))
        pixels = self.values[0][0].flatten(1).t()
        positions = positions.cpu()
        parts = [self.clean.new_empty(0, count, len(self.clean))]
        with torch.no_grad():
            for start in range(0, len(positions), slab):
                place = positions[start : start + slab]
                change = colours[start : start + slab].to(pixels) - pixels[place][:, None]
                parts.append(self._slab(place, change))
        return torch.cat(parts)

    def _slab(self, positions: Tensor, change: Tensor) -> Tensor:
        """Logits of as many candidates as are worth keeping in memory at once."""
        plan = self.engine.plan
        count = change.shape[1]
        hands = [_Hand(self, entry, len(positions), count) for entry in plan.entries]
        step = max(1, CHUNK // count)
        for rows in plan.by_phase(positions):
            for start in range(0, len(rows), step):
                chosen = rows[start : start + step]
                windows = Windows(self, positions[chosen], change[chosen])
                windows.follow()
                for hand in hands:
                    hand.take(chosen, windows)
        values = {hand.entry.target: hand.give() for hand in hands}
        for position in plan.tail:
            inputs = plan.steps[position].inputs
            values[position + 1] = plan.steps[position].op.dense(
                *(values[source] if source in values else self.values[source] for source in inputs)
            )
        return values[len(plan.steps)].view(len(positions), count, -1)

    def frames(self, value: int, positions: Tensor, size: tuple[int, int], *, nowhere: bool, region: int) -> Tensor:
        """A value's clean activations on each position's window, or on the `region` a step reads: (p, h, w, channels).

        Cells outside the map are 0, or very negative where `nowhere` is set.
        """
        height, width = size
        padded, margin = self._padded(value, nowhere)
        tall, wide, channels = padded.shape
        view = padded.as_strided(
            (tall - height + 1, wide - width + 1, height, width, channels),
            (wide * channels, channels, wide * channels, channels, 1),
        )
        down, across = self.engine.corner(value, region)
        columns = self.engine.plan.size[1]
        return view[down[positions // columns] + margin, across[positions % columns] + margin]

    def _padded(self, value: int, nowhere: bool) -> tuple[Tensor, int]:
        if (value, nowhere) not in self.padded:
            plan = self.engine.plan
            margin = 0
            for line, size in zip((plan.rows, plan.columns), plan.shapes[value][2:], strict=True):
                spans = [track.spans[value] for track in line]
                for position in plan.local:
                    if plan.steps[position].inputs[0] == value and isinstance(plan.steps[position].op, Pool):
                        spans += [track.regions[position] for track in line]
                margin = max([margin, *(-low for low, _ in spans), *(high + 1 - size for _, high in spans)])
            filled = F.pad(self.values[value], (margin,) * 4, value=NOWHERE if nowhere else 0.0)
            self.padded[value, nowhere] = (filled[0].permute(1, 2, 0).contiguous(), margin)
        return self.padded[value, nowhere]


class Windows:
    """The local values of candidates of one phase, each as (p, m, h, w, channels) on its own window.

    A value is held as its change or, after a rectifier or a maximum, whole; `delta` turns it into the change.
    """

    def __init__(self, scene: IncrementalScene, positions: Tensor, change: Tensor) -> None:
        self.scene = scene
        self.plan = scene.engine.plan
        self.positions = positions
        self.row, self.column = self.plan.tracks(int(positions[0]))
        self.values = {0: change[:, :, None, None]}
        self.whole: set[int] = set()
        self.clear = {0}  # values whose cells outside the map are known to be unchanged

    def size(self, value: int) -> tuple[int, int]:
        """Height and width of a value's window."""
        (top, bottom), (left, right) = self.row.spans[value], self.column.spans[value]
        return bottom - top + 1, right - left + 1

    def pads(self, position: int, source: int = 0) -> tuple[int, int, int, int]:
        """How far a step reads around the window of one of its inputs: left, right, top, bottom."""
        return (*self.column.pads[position][source], *self.row.pads[position][source])

    def clean(self, value: int, *, nowhere: bool = False) -> Tensor:
        """A value's clean activations on the windows, (p, 1, h, w, channels)."""
        return self.scene.frames(value, self.positions, self.size(value), nowhere=nowhere, region=-1)[:, None]

    def around(self, position: int) -> Tensor:
        """The clean activations that a step reads, (p, 1, h, w, channels), very negative outside the map."""
        spans = (self.row.regions[position], self.column.regions[position])
        height, width = (high - low + 1 for low, high in spans)
        source = self.plan.steps[position].inputs[0]
        return self.scene.frames(source, self.positions, (height, width), nowhere=True, region=position)[:, None]

    def inside(self, value: int) -> Tensor | None:
        """Which cells of the windows lie on the map, (p, 1, h, w, 1) of 0 and 1; None when all do."""
        height, width = self.size(value)
        down, across = self.scene.engine.corner(value, -1)
        columns = self.plan.size[1]
        vertical = down[self.positions // columns][:, None] + torch.arange(height)
        horizontal = across[self.positions % columns][:, None] + torch.arange(width)
        tall, wide = self.plan.shapes[value][2:]
        rows = (vertical >= 0) & (vertical < tall)
        cells = rows[:, :, None] & ((horizontal >= 0) & (horizontal < wide))[:, None]
        return None if cells.all() else cells[:, None, :, :, None].to(self.values[0])

    def delta(self, value: int) -> Tensor:
        """A value's change, zero outside the map."""
        if value in self.whole:
            self.values[value] = self.values[value] - self.clean(value)
            self.whole.discard(value)
        if value not in self.clear:
            inside = self.inside(value)
            if inside is not None:
                self.values[value] = self.values[value] * inside
            self.clear.add(value)
        return self.values[value]

    def follow(self) -> None:
        """Compute every local value."""
        for position in self.plan.local:
            self._step(position)

    def _step(self, position: int) -> None:
        step = self.plan.steps[position]
        op, source, out = step.op, step.inputs[0], position + 1
        if isinstance(op, Conv):
            kernel = self.scene.engine.kernel(position)
            self.values[out] = convolve(self.delta(source), kernel, op, self.pads(position))
        elif isinstance(op, Affine):
            self.values[out] = self.delta(source) * op.scale
            self.clear.add(out)
        elif isinstance(op, Add):
            left, right = (widen(self.delta(part), self.pads(position, k)) for k, part in enumerate(step.inputs))
            self.values[out] = left + right
            self.clear.add(out)
        elif isinstance(op, Pool) and not op.largest:
            self.values[out] = pool(widen(self.delta(source), self.pads(position)), op)
        elif isinstance(op, Pool):
            whole = lay(self.delta(source), self.around(position), self.pads(position))
            self.values[out] = pool(whole, op)
            self.whole.add(out)
        else:
            assert isinstance(op, Relu | Pointwise)
            rectifier = isinstance(op, Relu)
            before = self.values[source]
            if source not in self.whole:
                before = before + self.clean(source, nowhere=rectifier)
                if rectifier:
                    self.clear.add(out)
            self.values[out] = op.dense(before)
            self.whole.add(out)


class _Hand:
    """Collects one hand-over from the local to the dense part, for a slab of candidates."""

    def __init__(self, scene: IncrementalScene, entry: Entry, positions: int, count: int) -> None:
        self.scene = scene
        self.entry = entry
        clean = scene.values[entry.target]
        self.out = clean.expand(positions * count, *clean.shape[1:]).clone().view(positions, count, *clean.shape[1:])
        self.pieces: dict[Part, list[tuple[Tensor, Tensor]]] = {}

    def take(self, rows: Tensor, windows: Windows) -> None:
        """The change of the windows at `rows` of the slab."""
        change = windows.delta(self.entry.source)
        plan = self.scene.engine.plan
        if self.entry.kind == "mean":
            mean = change.sum((2, 3)) / (plan.shapes[self.entry.source][2] * plan.shapes[self.entry.source][3])
            self.out[rows] += mean.view(*mean.shape, *(1,) * (self.out.ndim - 3))
            return
        down, across = self.scene.engine.corner(self.entry.source, -1)
        columns = plan.size[1]
        for number, position in enumerate(windows.positions.tolist()):
            part = plan.reached(self.entry.source, position)
            top, left = part[0] - int(down[position // columns]), part[2] - int(across[position % columns])
            cells = change[number, :, top : top + part[1] - part[0], left : left + part[3] - part[2]]
            if not cells.numel():
                continue
            if self.entry.kind == "map":
                self.out[rows[number], :, :, part[0] : part[1], part[2] : part[3]] += cells.permute(0, 3, 1, 2)
            else:
                self.pieces.setdefault(part, []).append((rows[number], cells.flatten(1)))

    def give(self) -> Tensor:
        """The value that the dense part reads, for every candidate of the slab."""
        for part, pieces in self.pieces.items():
            where = torch.stack([row for row, _ in pieces])
            answer = self.scene.engine.dense(torch.cat([cells for _, cells in pieces]), self.entry, part)
            self.out[where] += answer.view(len(where), -1, answer.shape[-1])
        return self.out.flatten(0, 1)


def nchw(x: Tensor) -> Tensor:
    """Windows (p, m, h, w, c) as channels-last maps (p * m, c, h, w)."""
    return x.flatten(0, 1).permute(0, 3, 1, 2)


def nhwc(x: Tensor, like: Tensor) -> Tensor:
    """Channels-last maps (p * m, c, h, w) as windows, with `like`'s p and m."""
    return x.permute(0, 2, 3, 1).reshape(*like.shape[:2], *x.shape[2:], x.shape[1])


def widen(x: Tensor, pads: tuple[int, int, int, int]) -> Tensor:
    """Windows with zeros added (or cells cut off, where negative) left, right, above and below."""
    return F.pad(x, (0, 0, *pads)) if any(pads) else x


def lay(change: Tensor, ground: Tensor, pads: tuple[int, int, int, int]) -> Tensor:
    """`change` added to the middle of the clean cells around it."""
    return widen(change, pads) + ground


def pool(x: Tensor, op: Pool) -> Tensor:
    """A maximum or average over windows without further padding."""
    pooling = F.max_pool2d if op.largest else F.avg_pool2d
    return nhwc(pooling(nchw(x), op.kernel, op.stride), x)


def convolve(x: Tensor, kernel: Tensor, op: Conv, pads: tuple[int, int, int, int]) -> Tensor:
    """A convolution without bias of windows, with zeros around them."""
    left, right, top, bottom = pads
    padding = (top, left)
    if left != right or top != bottom or min(pads) < 0:
        x, padding = widen(x, pads), (0, 0)
    return nhwc(F.conv2d(nchw(x), kernel, None, op.stride, padding, op.dilation, op.groups), x)
