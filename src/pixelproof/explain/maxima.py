"""Rules for operations that pick or smooth a maximum: pools, maxima over axes, log-sum-exp."""

from __future__ import annotations

import torch
from torch import Tensor, fx

from pixelproof.explain.graph import Values
from pixelproof.explain.rules import NUDGE, Pairs, Shares, arguments, producer

aten = torch.ops.aten


def max_pool(pairs: Pairs, node: fx.Node, m: Tensor) -> Shares:
    """The change of each window's maximum goes to the arg-max of the larger side; overlapping windows add up."""
    pool = producer(node)
    source = arguments(pool)[0]
    (y_x, at_x), (y_b, at_b) = pairs.x[pool], pairs.b[pool]
    change = y_x - y_b
    larger = (change > 0).long().neg_()
    index = (at_x ^ at_b).bitwise_and_(larger).bitwise_xor_(at_b)
    moved = change[None].mul_(m) if len(m) == 1 else change * m
    spread = _scatter(moved, index, pool, pairs.graph.shapes[source])
    # where nothing was moved both sides may agree; the nudge turns that 0 / 0 into 0
    return [(source, spread.div_((pairs.x[source] - pairs.b[source]).add_(NUDGE)))]


def _scatter(moved: Tensor, index: Tensor, pool: fx.Node, shape: torch.Size) -> Tensor:
    """`moved` (k, i, p, n, c, h, w) added up at the flat positions `index` of an input of `shape`."""
    lead = moved.shape[:3]
    index = index.expand(moved.shape)
    if pool.target is aten.max_pool2d_with_indices.default:
        given = pool.args[1:]
        settings = (*given, *([], [0, 0], [1, 1], False)[len(given) - 1 :])
        last = torch.channels_last
        size = (lead.numel() * shape[0], *shape[1:])
        place = torch.empty(size, dtype=moved.dtype, device=moved.device, memory_format=last)
        rows = moved.flatten(0, 3).contiguous(memory_format=last)
        flat = index.flatten(0, 3).contiguous(memory_format=last)
        out = aten.max_pool2d_with_indices_backward(rows, place, *settings, flat)
        by_window: Tensor = out.view(*lead, *shape)
        return by_window
    spread = moved.new_zeros(*lead, *shape[:-2], shape[-2] * shape[-1])
    return spread.scatter_add_(-1, index.flatten(-2), moved.flatten(-2)).view(*lead, *shape)


def maximum(pairs: Pairs, node: fx.Node, m: Tensor) -> Shares:
    """The maximum over some axes: the change goes to where the larger side has it, in equal parts among equals."""
    step = producer(node)
    source, axes, *_ = (*arguments(step), [])
    shape = pairs.graph.shapes[source]
    dims = [axes] if isinstance(axes, int) else axes or range(len(shape))
    back = [axis % len(shape) for axis in dims]
    keeps = len(pairs.graph.shapes[node]) == len(shape)

    def wide(values: Tensor, front: int) -> Tensor:
        for axis in [] if keeps else sorted(back):
            values = values.unsqueeze(axis + front)
        return values

    x, b = pairs.x[source], pairs.b[source]
    picked = _tuple_first(pairs.x, node), _tuple_first(pairs.b, node)
    y_x, y_b = (wide(values, 2) for values in picked)
    inside = [axis + 2 for axis in back]
    ours, theirs = (x == y_x).to(x.dtype), (b == y_b).to(x.dtype)
    change = y_x - y_b
    larger = (change > 0).to(x.dtype)
    chosen = larger * (ours / ours.sum(inside, True)) + (1 - larger) * (theirs / theirs.sum(inside, True))
    moved = wide(m, 3) * (change * chosen)
    return [(source, moved.div_((x - b).add_(NUDGE)))]


def _tuple_first(values: Values, node: fx.Node) -> Tensor:
    found = values[node] if node in values else values[producer(node)]
    first: Tensor = found[0] if isinstance(found, tuple) else found
    return first


def log_sum_exp(pairs: Pairs, node: fx.Node, m: Tensor) -> Shares:
    """log(sum(exp(x))): the ratio of the logarithm times the ratio of each exponential, scaled by the larger side.

    (exp(a) - exp(b)) / (a - b) is written as exp(max) (1 - exp(-|a - b|)) / |a - b|, which neither overflows nor loses
    digits where a and b are close.
    """
    source, axes, *rest = arguments(node)
    keeps = bool(rest and rest[0])
    dims = sorted(axis % len(pairs.graph.shapes[source]) for axis in axes)

    def wide(values: Tensor, front: int) -> Tensor:
        for axis in [] if keeps else dims:
            values = values.unsqueeze(axis + front)
        return values

    x, b = pairs.x[source], pairs.b[source]
    l_x, l_b = wide(pairs.x[node], 2), wide(pairs.b[node], 2)
    top = torch.maximum(l_x, l_b)
    ratio = (torch.maximum(x, b) - top).exp_() * _decay(x - b) / _decay(l_x - l_b)
    return [(source, ratio * wide(m, 3))]


def _decay(change: Tensor) -> Tensor:
    """(1 - exp(-|d|)) / |d|, which is 1 at d = 0."""
    size = change.abs().clamp_min(NUDGE)
    return -torch.expm1(-size) / size
