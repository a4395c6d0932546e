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
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeAlias

import torch
from torch import Tensor, fx

from pixelproof.explain.graph import Graph, Values

aten = torch.ops.aten

SMALL = 1e-6  # below this difference the derivative is the better ratio; the field's usual threshold
NUDGE = 1e-30
NARROW = 32  # columns up to which a transposed convolution is faster as one product and shifted sums

Shares: TypeAlias = list[tuple[fx.Node, Tensor]]


@dataclass(frozen=True, eq=False)
class Pairs:
    """Values of the kept nodes: `x` (i, 1, *shape) for some images, `b` (1, p, *shape) for some backgrounds."""

    graph: Graph
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
class Rule:
    """`share` spreads a multiplier over a node's inputs; `inputs` and `output` say whose values it reads."""

    share: Callable[[Pairs, fx.Node, Tensor], Shares]
    inputs: bool = False
    output: bool = False


def producer(node: fx.Node) -> fx.Node:
    """The operation behind `node`: the node itself, or the one whose tuple it picks from."""
    while node.target is operator.getitem:
        node = node.args[0]  # type: ignore[assignment]
    return node


def relu(pairs: Pairs, node: fx.Node, m: Tensor) -> Shares:
    """Ratio of differences in closed form, max(x, b) / |x - b| cut to [0, 1]; 1 or 0 where x = b, as the derivative."""
    source = node.args[0]
    x, b = pairs.x[source], pairs.b[source]
    x = torch.where(x == 0, -NUDGE, x)
    ratio = torch.maximum(x, b).div_((x - b).abs_()).clamp_(0, 1)
    return [(source, ratio[None].mul_(m) if len(m) == 1 else ratio * m)]  # type: ignore[list-item]


def elementwise(pairs: Pairs, node: fx.Node, m: Tensor) -> Shares:
    """Ratio of differences of any function of one value; its derivative at the image where they nearly agree."""
    (source,) = pairs.graph.active(node)
    x, b = pairs.x[source], pairs.b[source]
    with torch.enable_grad():
        leaf = x.flatten(0, 1).detach().requires_grad_()
        y = torch.vmap(pairs.graph.call(node))(leaf)
        (slope,) = torch.autograd.grad(y.sum(), leaf)
    change = x - b
    near = change.abs() < SMALL
    ratio = (pairs.x[node] - pairs.b[node]).div_(change.masked_fill_(near, 1))
    return [(source, torch.where(near, slope.view(x.shape), ratio) * m)]


def linear(pairs: Pairs, node: fx.Node, m: Tensor) -> Shares:
    """The vector-Jacobian product of an operation that is linear in its active inputs together."""
    sources = pairs.graph.active(producer(node))
    origin = [m.new_zeros(pairs.graph.shapes[source]) for source in sources]
    _, pull = torch.func.vjp(pairs.graph.call(node), *origin)
    shares = torch.vmap(pull)(m.flatten(0, 2))
    return [(source, share.unflatten(0, m.shape[:3])) for source, share in zip(sources, shares, strict=True)]


def product(pairs: Pairs, node: fx.Node, m: Tensor) -> Shares:
    """The vector-Jacobian product of a product at the midpoint of the pair: exact for bilinear and quadratic maps."""
    factors = [argument for argument in node.args if isinstance(argument, fx.Node)]
    if sum(factor not in pairs.graph.constants for factor in factors) == 1:
        return linear(pairs, node, m)
    sources = pairs.graph.active(node)
    middles = [pairs.midpoint(source) for source in sources]
    call = pairs.graph.call(node)

    def at_one_pair(rows: Tensor, *middle: Tensor) -> tuple[Tensor, ...]:
        _, pull = torch.func.vjp(call, *middle)
        shares: tuple[Tensor, ...] = torch.vmap(pull)(rows)
        return shares

    rows = m.expand(len(m), *pairs.lead, *m.shape[3:]).flatten(1, 2)
    axes = (1, *[0] * len(middles))
    shares = torch.vmap(at_one_pair, in_dims=axes, out_dims=1)(rows, *middles)
    return [(source, share.unflatten(1, pairs.lead)) for source, share in zip(sources, shares, strict=True)]


def dense(pairs: Pairs, node: fx.Node, m: Tensor) -> Shares:
    """A dense layer: the multiplier times the transposed weight; products of two active matrices as `product`."""
    source, weight = node.args[-2:]
    if weight in pairs.graph.constants and pairs.graph.active(node) == [source]:
        return [(source, m @ pairs.graph.constants[weight].t())]  # type: ignore[index, list-item]
    return product(pairs, node, m)


def added(pairs: Pairs, node: fx.Node, m: Tensor) -> Shares:
    """Sums and differences whose active terms have the shape of the result pass the multiplier on."""
    sign = -1 if node.target is aten.sub.Tensor else 1
    factor = sign * node.kwargs.get("alpha", 1)  # type: ignore[operator]
    terms = [(node.args[0], 1), (node.args[1], factor)]
    active = [(term, scale) for term, scale in terms if isinstance(term, fx.Node) and term in pairs.graph.shapes]
    if any(pairs.graph.shapes[term] != pairs.graph.shapes[node] for term, _ in active):
        return linear(pairs, node, m)
    return [(term, m if scale == 1 else m * scale) for term, scale in active]  # type: ignore[operator]


def reshaped(pairs: Pairs, node: fx.Node, m: Tensor) -> Shares:
    """Copies and reshapes that keep the order of the elements."""
    (source,) = pairs.graph.active(node)
    return [(source, m.reshape(*m.shape[:3], *pairs.graph.shapes[source]))]


def convolution(pairs: Pairs, node: fx.Node, m: Tensor) -> Shares:
    """A convolution's transpose; with few input channels as one matrix product and shifted sums."""
    if pairs.graph.active(node) != [node.args[0]]:
        return product(pairs, node, m)
    source, weight, _, *settings = (pairs.graph.argument(argument) for argument in node.args)
    stride, padding, dilation, transposed, _, groups = settings
    shape = (m.shape[:3].numel() * pairs.graph.shapes[source][0], *pairs.graph.shapes[source][1:])
    rows = m.flatten(0, 3)
    if weight.ndim == 4 and groups == 1 and not transposed and weight[0].numel() <= NARROW:
        out = _narrow_transpose(rows, weight, shape[2:], stride, padding, dilation)
    else:
        flat = rows.contiguous(memory_format=torch.channels_last) if rows.ndim == 4 else rows
        needs = [True, False, False]
        place = rows.new_empty(1).expand(shape)
        out = aten.convolution_backward(flat, place, weight, None, *settings, needs)[0]
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


def max_pool(pairs: Pairs, node: fx.Node, m: Tensor) -> Shares:
    """The change of each window's maximum goes to the arg-max of the larger side; overlapping windows add up."""
    pool = producer(node)
    source = pool.args[0]
    (y_x, at_x), (y_b, at_b) = pairs.x[pool], pairs.b[pool]
    change = y_x - y_b
    larger = (change > 0).long().neg_()
    index = (at_x ^ at_b).bitwise_and_(larger).bitwise_xor_(at_b)
    moved = change[None].mul_(m) if len(m) == 1 else change * m
    spread = _scatter(moved, index, pool, pairs.graph.shapes[source])  # type: ignore[index]
    # where nothing was moved both sides may agree; the nudge turns that 0 / 0 into 0
    return [(source, spread.div_((pairs.x[source] - pairs.b[source]).add_(NUDGE)))]  # type: ignore[list-item]


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
        return out.view(*lead, *shape)
    spread = moved.new_zeros(*lead, *shape[:-2], shape[-2] * shape[-1])
    return spread.scatter_add_(-1, index.flatten(-2), moved.flatten(-2)).view(*lead, *shape)


def maximum(pairs: Pairs, node: fx.Node, m: Tensor) -> Shares:
    """The maximum over some axes: the change goes to where the larger side has it, in equal parts among equals."""
    step = producer(node)
    source, axes = step.args[0], step.args[1] if len(step.args) > 1 else []
    shape = pairs.graph.shapes[source]  # type: ignore[index]
    dims = [axes] if isinstance(axes, int) else list(axes) or list(range(len(shape)))  # type: ignore[arg-type]
    back = [axis % len(shape) for axis in dims]  # type: ignore[operator]
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
    return [(source, moved.div_((x - b).add_(NUDGE)))]  # type: ignore[list-item]


def _tuple_first(values: Values, node: fx.Node) -> Tensor:
    found = values[node] if node in values else values[producer(node)]
    first: Tensor = found[0] if isinstance(found, tuple) else found
    return first


def log_sum_exp(pairs: Pairs, node: fx.Node, m: Tensor) -> Shares:
    """log(sum(exp(x))): the ratio of the logarithm times the ratio of each exponential, scaled by the larger side.

    (exp(a) - exp(b)) / (a - b) is written as exp(max) (1 - exp(-|a - b|)) / |a - b|, which neither overflows nor loses
    digits where a and b are close.
    """
    source, axes, *rest = node.args
    keeps = bool(rest and rest[0])
    dims = sorted(axis % len(pairs.graph.shapes[source]) for axis in axes)  # type: ignore[union-attr, operator, index]

    def wide(values: Tensor, front: int) -> Tensor:
        for axis in [] if keeps else dims:
            values = values.unsqueeze(axis + front)
        return values

    x, b = pairs.x[source], pairs.b[source]
    l_x, l_b = wide(pairs.x[node], 2), wide(pairs.b[node], 2)
    top = torch.maximum(l_x, l_b)
    ratio = (torch.maximum(x, b) - top).exp_() * _decay(x - b) / _decay(l_x - l_b)
    return [(source, ratio * wide(m, 3))]  # type: ignore[list-item]


def _decay(change: Tensor) -> Tensor:
    """(1 - exp(-|d|)) / |d|, which is 1 at d = 0."""
    size = change.abs().clamp_min(NUDGE)
    return -torch.expm1(-size) / size


LINEAR = (
    aten.neg.default, aten.mean.default, aten.mean.dim, aten.sum.default, aten.sum.dim_IntList, aten.cumsum.default,
    aten.mul.Scalar, aten.div.Scalar, aten.sub.Scalar, aten.add.Scalar, aten.rsub.Scalar, aten.rsub.Tensor,
    aten.permute.default, aten.transpose.int, aten.t.default, aten.expand.default, aten.repeat.default,
    aten.squeeze.default, aten.squeeze.dim, aten.squeeze.dims, aten.unsqueeze.default, aten.select.int,
    aten.slice.Tensor, aten.cat.default, aten.stack.default, aten.split.Tensor, aten.split_with_sizes.default,
    aten.unbind.int, aten.index_select.default, aten.index.Tensor, aten.gather.default, aten.flip.default,
    aten.roll.default, aten.constant_pad_nd.default, aten.reflection_pad2d.default, aten.replication_pad2d.default,
    aten.as_strided.default, aten.diagonal.default, aten.tril.default, aten.triu.default, aten.masked_fill.Scalar,
    aten.avg_pool1d.default, aten.avg_pool2d.default, aten._adaptive_avg_pool2d.default, aten.im2col.default,
    aten.upsample_nearest2d.default, aten.upsample_nearest2d.vec, aten.upsample_bilinear2d.default,
    aten.upsample_bilinear2d.vec, aten.upsample_bicubic2d.default, aten.upsample_bicubic2d.vec,
    aten.pixel_shuffle.default, aten.pixel_unshuffle.default, aten.slice_scatter.default, aten.select_scatter.default,
    aten.copy.default, aten._to_copy.default,
)  # fmt: skip
SAME_ORDER = (
    aten.view.default, aten._unsafe_view.default, aten.reshape.default, aten.clone.default, aten.alias.default,
    aten.detach.default, aten.lift_fresh_copy.default,
)  # fmt: skip
ELEMENTWISE = (
    aten.gelu.default, aten.silu.default, aten.sigmoid.default, aten.tanh.default, aten.exp.default, aten.log.default,
    aten.log1p.default, aten.expm1.default, aten.sqrt.default, aten.rsqrt.default, aten.reciprocal.default,
    aten.erf.default, aten.sin.default, aten.cos.default, aten.atan.default, aten.abs.default, aten.elu.default,
    aten.leaky_relu.default, aten.softplus.default, aten.hardtanh.default, aten.hardswish.default,
    aten.hardsigmoid.default, aten.relu6.default, aten.mish.default, aten.log_sigmoid_forward.default,
    aten._prelu_kernel.default, aten.clamp.default, aten.clamp_min.default, aten.clamp_max.default,
    aten.pow.Tensor_Scalar, aten.pow.Scalar, aten.threshold.default, aten.softshrink.default, aten.hardshrink.default,
    aten.celu.default, aten.log2.default, aten.log10.default, aten.exp2.default,
)  # fmt: skip

RULES: Mapping[Any, Rule] = MappingProxyType(
    {
        **dict.fromkeys(LINEAR, Rule(linear)),
        **dict.fromkeys(SAME_ORDER, Rule(reshaped)),
        **dict.fromkeys(ELEMENTWISE, Rule(elementwise, inputs=True, output=True)),
        **dict.fromkeys((aten.add.Tensor, aten.sub.Tensor), Rule(added)),
        **dict.fromkeys((aten.mm.default, aten.addmm.default), Rule(dense, inputs=True)),
        **dict.fromkeys(
            (aten.mul.Tensor, aten.bmm.default, aten.baddbmm.default, aten.dot.default, aten.mv.default),
            Rule(product, inputs=True),
        ),
        **dict.fromkeys(
            (aten.max_pool2d_with_indices.default, aten.adaptive_max_pool2d.default),
            Rule(max_pool, inputs=True, output=True),
        ),
        **dict.fromkeys((aten.amax.default, aten.max.dim), Rule(maximum, inputs=True, output=True)),
        aten.relu.default: Rule(relu, inputs=True),
        aten.logsumexp.default: Rule(log_sum_exp, inputs=True, output=True),
        aten.convolution.default: Rule(convolution, inputs=True),
    }
)
