"""Rules: how the multiplier of an operation's output becomes multipliers of its inputs, exactly.

A multiplier says how much of the change of the logit between a background and an image is due to one unit of change
at a value. Every rule keeps the sum: multiplier x change, summed over the inputs, equals multiplier x change of the
output (DeepLIFT's rescale rule, Shrikumar et al. 2017, arXiv 1704.02685).

- elementwise functions: ratio of the differences, the derivative where the difference vanishes;
- linear operations: the vector-Jacobian product; products of two values: the same at the midpoint of the pair, which
  is exact for every quadratic map;
- maxima: the change goes to the position of the larger side's maximum.

Multipliers have shape (k classes, i images, p backgrounds, *shape), where k, i or p may be 1 and broadcast.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor, fx

from pixelproof.explain.graph import TracedGraph, Values

aten = torch.ops.aten

SMALL = 1e-6  # below this difference the derivative is the better ratio; the field's usual threshold
NUDGE = 1e-30
NARROW = 32  # columns up to which a transposed convolution is faster as one product and shifted sums

Shares: TypeAlias = list[tuple[fx.Node, Tensor]]


@dataclass(frozen=True, eq=False)
class Pairs:
    """Values of the kept nodes: `x` (i, 1, *shape) for some images, `b` (1, p, *shape) for some backgrounds."""

    graph: TracedGraph
    x: Values
    b: Values

    def midpoint(self, node: fx.Node) -> Tensor:
        """Halfway between every image and every background: (i * p, *shape)."""
        middle: Tensor = (self.x[node] + self.b[node]) / 2
        return middle.flatten(0, 1)

    @property
    def lead(self) -> tuple[int, int]:
        """Numbers of images and backgrounds."""
        image = self.graph.image
        return self.x[image].shape[0], self.b[image].shape[1]


@dataclass(frozen=True)
class AttributionRule:
    """`share` spreads a multiplier over a node's inputs; `inputs` and `output` say whose values it reads."""

    share: Callable[[Pairs, fx.Node, Tensor], Shares]
    inputs: bool = False
    output: bool = False


def producer(node: fx.Node) -> fx.Node:
    """The operation behind `node`: the node itself, or the one whose tuple it picks from."""
    while node.target is operator.getitem:
        node = node.args[0]  # type: ignore[assignment]
    return node


def arguments(node: fx.Node) -> tuple[Any, ...]:
    """The positional arguments of a step, of whatever type each operation defines."""
    return tuple(node.args)


def relu(pairs: Pairs, node: fx.Node, m: Tensor) -> Shares:
    """Ratio of differences in closed form, max(x, b) / |x - b| cut to [0, 1]; 1 or 0 where x = b, as the derivative."""
    source: Any = node.args[0]
    x, b = pairs.x[source], pairs.b[source]
    x = torch.where(x == 0, -NUDGE, x)
    ratio = torch.maximum(x, b).div_((x - b).abs_()).clamp_(0, 1)
    return [(source, ratio[None].mul_(m) if len(m) == 1 else ratio * m)]


def elementwise(pairs: Pairs, node: fx.Node, m: Tensor) -> Shares:
    """Ratio of differences of any function of one value; its derivative at the image where they nearly agree.

    Where the derivative is infinite (a root at 0), the ratio counts there, too, and nothing is shared where both agree.
    """
    (source,) = pairs.graph.active(node)
    x, b = pairs.x[source], pairs.b[source]
    with torch.enable_grad():
        leaf = x.flatten(0, 1).detach().requires_grad_()
        y = torch.vmap(pairs.graph.call(node))(leaf)
        (slope,) = torch.autograd.grad(y.sum(), leaf)
    change = x - b
    near = change.abs() < SMALL
    steep = near & ~slope.view(x.shape).isfinite()
    none = steep & (change == 0)
    ratio = (pairs.x[node] - pairs.b[node]).div_(change.masked_fill_((near & ~steep) | none, 1))
    slope = slope.view(x.shape).masked_fill(steep, 0)
    return [(source, torch.where(near & ~steep, slope, ratio.masked_fill_(none, 0)) * m)]


def linear(pairs: Pairs, node: fx.Node, m: Tensor) -> Shares:
    """The vector-Jacobian product of an operation that is linear in its active inputs together."""
    sources = pairs.graph.active(producer(node))
    origin = [m.new_zeros(pairs.graph.shapes[source]) for source in sources]
    pull = torch.func.vjp(pairs.graph.call(node), *origin)[1]
    shares = torch.vmap(pull)(m.flatten(0, 2))
    return [(source, share.view(*m.shape[:3], *share.shape[1:])) for source, share in zip(sources, shares, strict=True)]


def product(pairs: Pairs, node: fx.Node, m: Tensor) -> Shares:
    """The vector-Jacobian product of a product at the midpoint of the pair: exact for bilinear and quadratic maps."""
    factors = [argument for argument in node.args if isinstance(argument, fx.Node)]
    if sum(factor not in pairs.graph.constants for factor in factors) == 1:
        return _scaled(pairs, node, m) if node.target is aten.mul.Tensor else linear(pairs, node, m)
    sources = pairs.graph.active(node)
    middles = [pairs.midpoint(source) for source in sources]
    call = pairs.graph.call(node)

    def at_one_pair(rows: Tensor, *middle: Tensor) -> tuple[Tensor, ...]:
        pull = torch.func.vjp(call, *middle)[1]
        shares: tuple[Tensor, ...] = torch.vmap(pull)(rows)
        return shares

    rows = m.expand(len(m), *pairs.lead, *m.shape[3:]).flatten(1, 2)
    axes = (1, *[0] * len(middles))
    shares = torch.vmap(at_one_pair, in_dims=axes, out_dims=1)(rows, *middles)
    return [
        (source, share.reshape(len(m), *pairs.lead, *share.shape[2:]))
        for source, share in zip(sources, shares, strict=True)
    ]


def _scaled(pairs: Pairs, node: fx.Node, m: Tensor) -> Shares:
    """A product with a constant that has no more elements than the value."""
    (source,) = pairs.graph.active(node)
    if pairs.graph.shapes[source] != pairs.graph.shapes[node]:
        return linear(pairs, node, m)
    (constant,) = (pairs.graph.argument(factor) for factor in node.args if factor is not source)
    return [(source, m * constant)]


def dense(pairs: Pairs, node: fx.Node, m: Tensor) -> Shares:
    """A dense layer: the multiplier times the transposed weight; products of two active matrices as `product`."""
    source, weight = (argument for argument in arguments(node)[-2:])
    if weight in pairs.graph.constants and pairs.graph.active(node) == [source]:
        return [(source, m @ pairs.graph.constants[weight].t())]
    return product(pairs, node, m)


def added(pairs: Pairs, node: fx.Node, m: Tensor) -> Shares:
    """Sums and differences whose active terms have the shape of the result pass the multiplier on."""
    sign = -1 if node.target is aten.sub.Tensor else 1
    alpha: Any = node.kwargs.get("alpha", 1)
    terms = zip(arguments(node), (1, sign * alpha), strict=True)
    active = [(term, scale) for term, scale in terms if isinstance(term, fx.Node) and term in pairs.graph.shapes]
    if any(pairs.graph.shapes[term] != pairs.graph.shapes[node] for term, _ in active):
        return linear(pairs, node, m)
    return [(term, m if scale == 1 else m * scale) for term, scale in active]


def reshaped(pairs: Pairs, node: fx.Node, m: Tensor) -> Shares:
    """Copies and reshapes that keep the order of the elements."""
    (source,) = pairs.graph.active(node)
    return [(source, m.reshape(*m.shape[:3], *pairs.graph.shapes[source]))]


def convolution(pairs: Pairs, node: fx.Node, m: Tensor) -> Shares:
    """A convolution's transpose; with few input channels as one matrix product and shifted sums."""
    if pairs.graph.active(node) != [node.args[0]]:
        return product(pairs, node, m)
    source, weight, _, *settings = (pairs.graph.argument(argument) for argument in arguments(node))
    stride, padding, dilation, transposed, outer, groups = settings
    axes = weight.ndim - 2  # a list of one counts for every axis; padding="valid" is recorded so
    stride, padding, dilation, outer = (
        list(each) * axes if len(each) == 1 else list(each) for each in (stride, padding, dilation, outer)
    )
    settings = [stride, padding, dilation, transposed, outer, groups]
    shape = (m.shape[:3].numel() * pairs.graph.shapes[source][0], *pairs.graph.shapes[source][1:])
    rows = m.flatten(0, 3)
    if weight.ndim == 4 and groups == 1 and not transposed and weight[0].numel() <= NARROW:
        out = _narrow_transpose(rows, weight, shape[2:], stride, padding, dilation)
    else:
        layout = torch.channels_last if rows.ndim == 4 else torch.contiguous_format
        place = torch.empty(shape, dtype=rows.dtype, device=rows.device, memory_format=layout)
        rows, weight = rows.contiguous(memory_format=layout), weight.contiguous(memory_format=layout)
        out = aten.convolution_backward(rows, place, weight, None, *settings, [True, False, False])[0]
    return [(source, out.view(*m.shape[:3], *pairs.graph.shapes[source]))]


def _narrow_transpose(
    rows: Tensor, weight: Tensor, size: tuple[int, ...], stride: list[int], padding: list[int], dilation: list[int]
) -> Tensor:
    """The transposed convolution of `rows` (r, out, h, w) onto (r, in, *size)."""
    outs, ins, high, wide = weight.shape
    r, _, h, w = rows.shape
    table = weight.permute(1, 2, 3, 0).reshape(-1, outs) @ rows.permute(0, 2, 3, 1).reshape(-1, outs).t()
    table = table.view(ins, high, wide, r, h, w)
    full = rows.new_zeros(ins, r, size[0] + 2 * padding[0], size[1] + 2 * padding[1])
    for i in range(high):
        for j in range(wide):
            top, left = i * dilation[0], j * dilation[1]
            down = slice(top, top + (h - 1) * stride[0] + 1, stride[0])
            along = slice(left, left + (w - 1) * stride[1] + 1, stride[1])
            full[:, :, down, along] += table[:, i, j]
    inner = full[:, :, padding[0] : padding[0] + size[0], padding[1] : padding[1] + size[1]]
    return inner.transpose(0, 1).contiguous()
