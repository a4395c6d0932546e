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

from pixelproof.attacks.pixel.ops import Conv, Linear, Pool, run
from pixelproof.attacks.pixel.plan import Entry, Part, Plan
from pixelproof.attacks.pixel.windows import PixelWindows

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

    def columns(self, entry: Entry, part: Part) -> Tensor:
        """The columns of a dense layer that read one part of its input map, (out, cells * channels)."""
        op = self.plan.steps[entry.target - 1].op
        assert isinstance(op, Linear)
        _, channels, height, width = self.plan.shapes[entry.source]
        top, bottom, left, right = part
        cells = op.weight.view(-1, channels, height, width)[:, :, top:bottom, left:right]
        return cells.permute(0, 2, 3, 1).flatten(1).contiguous()

    def dense(self, rows: Tensor, entry: Entry, part: Part) -> Tensor:
        """A dense layer's answer to changed cells: `rows` (n, cells * channels) of one part of its input map."""
        key = (entry.target, part)
        weight = self.parts.get(key)
        if weight is None:
            weight = self.columns(entry, part)
            used = 4 * sum(kept.numel() for kept in self.parts.values())
            if used + 4 * weight.numel() <= PACKED_BYTES:
                if weight.dtype == torch.float32 and weight.device.type == "cpu" and _packable():
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

    def cover(self, value: int, rows: Tensor, columns: Tensor, size: tuple[int, int]) -> Tensor | None:
        """Which cells of the windows of pixels lie on a value's map, (p, 1, h, w, 1) of 0 and 1; None when all do."""
        masks = []
        for axis, places in enumerate((rows, columns)):
            low = self.corner(value, -1)[axis][places]
            last = self.plan.shapes[value][2 + axis] - size[axis]
            inside = int(low.min()) >= 0 and int(low.max()) <= last
            cells = low[:, None] + torch.arange(size[axis])
            masks.append(None if inside else ((cells >= 0) & (cells < last + size[axis])).to(self.plan.dtype))
        down, across = masks
        if down is None and across is None:
            return None
        if down is None or across is None:
            line = down if across is None else across
            assert line is not None
            return line[:, None, :, None, None] if across is None else line[:, None, None, :, None]
        return (down[:, :, None] * across[:, None])[:, None, :, :, None]

    def places(self, value: int, positions: Tensor) -> dict[Part, list[tuple[int, int, int]]]:
        """Rows of `positions` by the part of a value's map that they touch, each with where it starts in its window."""
        down, across = (corner.tolist() for corner in self.corner(value, -1))
        columns = self.plan.size[1]
        found: dict[Part, list[tuple[int, int, int]]] = {}
        for row, position in enumerate(positions.tolist()):
            part = self.plan.reached(value, position)
            if part[0] < part[1]:
                start = (part[0] - down[position // columns], part[2] - across[position % columns])
                found.setdefault(part, []).append((row, *start))
        return found


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
        hands = [_Hand(self, entry, positions, count) for entry in plan.entries]
        step = max(1, CHUNK // count)
        for rows in plan.by_phase(positions):
            for start in range(0, len(rows), step):
                chosen = rows[start : start + step]
                windows = PixelWindows(plan, self, positions[chosen], change[chosen])
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

    def frames(self, value: int, windows: PixelWindows, size: tuple[int, int], *, nowhere: bool, region: int) -> Tensor:
        """A value's clean activations on each pixel's window, or on the `region` a step reads: (p, 1, h, w, channels).

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
        return view[down[windows.rows] + margin, across[windows.columns] + margin][:, None]

    def cover(self, value: int, windows: PixelWindows) -> Tensor | None:
        """Which cells of the windows lie on a value's map, (p, 1, h, w, 1) of 0 and 1; None when all do."""
        return self.engine.cover(value, windows.rows, windows.columns, windows.size(value))

    def kernel(self, position: int) -> Tensor:
        """A convolution's weight in channels-last layout."""
        return self.engine.kernel(position)

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


class _Hand:
    """Collects one hand-over from the local to the dense part, for a slab of candidates."""

    def __init__(self, scene: IncrementalScene, entry: Entry, positions: Tensor, count: int) -> None:
        self.scene = scene
        self.entry = entry
        clean = scene.values[entry.target]
        self.out = clean[None].repeat(len(positions), count, *(1,) * (clean.ndim - 1))
        self.slots: dict[int, tuple[Part, int, int, int]] = {}
        self.cells: dict[Part, tuple[Tensor, Tensor]] = {}
        if entry.kind != "mean":
            for part, places in scene.engine.places(entry.source, positions).items():
                self.slots |= {row: (part, slot, top, left) for slot, (row, top, left) in enumerate(places)}
                if entry.kind == "linear":
                    shape = (
                        len(places),
                        count,
                        part[1] - part[0],
                        part[3] - part[2],
                        scene.values[entry.source].shape[1],
                    )
                    self.cells[part] = (torch.tensor([row for row, *_ in places]), clean.new_empty(shape))

    def take(self, rows: Tensor, windows: PixelWindows) -> None:
        """The change of the windows at `rows` of the slab."""
        change = windows.delta(self.entry.source)
        if self.entry.kind == "mean":
            _, _, tall, wide = self.scene.engine.plan.shapes[self.entry.source]
            mean = change.sum((2, 3)) / (tall * wide)
            self.out[rows] += mean.view(*mean.shape, *(1,) * (self.out.ndim - 3))
            return
        for number, row in enumerate(rows.tolist()):
            if row not in self.slots:
                continue
            part, slot, top, left = self.slots[row]
            cells = change[number, :, top : top + part[1] - part[0], left : left + part[3] - part[2]]
            if self.entry.kind == "linear":
                self.cells[part][1][slot] = cells
            else:
                self.out[row, :, :, part[0] : part[1], part[2] : part[3]] += cells.permute(0, 3, 1, 2)

    def give(self) -> Tensor:
        """The value that the dense part reads, for every candidate of the slab."""
        for part, (rows, cells) in self.cells.items():
            answer = self.scene.engine.dense(cells.flatten(2).flatten(0, 1), self.entry, part)
            self.out[rows] += answer.view(*cells.shape[:2], -1)
        return self.out.flatten(0, 1)


def _packable() -> bool:
    """Whether this build of torch has oneDNN, whose own weight layout halves the cost of small dense layers."""
    return bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]
