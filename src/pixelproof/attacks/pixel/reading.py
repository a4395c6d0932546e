"""Which operation a node of an exported graph is."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx

from pixelproof.attacks.pixel.ops import (
    Add,
    Affine,
    Conv,
    Flatten,
    Linear,
    Mean,
    Op,
    Other,
    Pair,
    Pointwise,
    Pool,
    Relu,
)

Constants = Mapping[str, Tensor]
PASSED_ON = ("clone", "contiguous", "alias", "detach")
DROPPED = ("dropout", "dropout_", "feature_dropout")  # nothing in evaluation mode
POINTWISE = (
    *("sigmoid", "tanh", "gelu", "silu", "elu", "leaky_relu", "softplus", "hardtanh", "relu6", "abs", "neg", "exp"),
    *("hardswish", "hardsigmoid", "mish", "clamp", "clamp_min", "clamp_max", "square", "sqrt", "selu", "celu"),
)


def base(target: Any) -> str:
    """The name of an operation without library, overload and in-place mark: "relu" for aten.relu_.default."""
    return str(target).removeprefix("aten.").partition(".")[0].rstrip("_")


def read(node: fx.Node, sources: int, constants: Constants, function: Callable[..., Tensor]) -> Op | None:
    """The operation of a node that reads `sources` values of the images; None when it passes its input on unchanged.

    What is not understood, also a form of a known operation, is an `Other` that runs `function` on whole maps.
    """
    try:
        return _known(node, sources, constants, function)
    except _Strange:
        made = node.args[0] if node.target is operator.getitem else node
        return Other(base(made.target) if isinstance(made, fx.Node) else str(made), function)


class _Strange(Exception):
    """A node that is none of the operations of `ops`."""


def _known(node: fx.Node, sources: int, constants: Constants, function: Callable[..., Tensor]) -> Op | None:
    name = base(node.target)
    given: list[Any] = list(node.args)
    before, after = _shape(_at(given, 0, None)), tuple(node.meta["val"].shape)
    read_twice = [part for part in given[1:] if isinstance(part, fx.Node) and part.name not in constants]
    if sources == 1 and name in PASSED_ON and set(node.kwargs) <= {"memory_format"}:
        return None  # however it is laid out in memory
    if node.kwargs or not before or not all(isinstance(size, int) for size in before[1:]):
        raise _Strange
    if sources == 2 and name == "add" and len(given) == 2 and before == after == _shape(given[1]):
        return Add()
    if sources == 1 and name == "add" and len(given) == 2 and given[0] is given[1] and len(before) in (2, 4):
        twice = torch.full((before[1],), 2.0, device=node.meta["val"].device)
        return Affine(twice, torch.zeros_like(twice))
    if sources != 1 or (read_twice and name not in ("add", "mul")):
        raise _Strange
    if name in DROPPED and not given[2]:
        return None
    if name == "relu":
        return Relu()
    if name in POINTWISE and len(before) == len(after) and not any(isinstance(part, fx.Node) for part in given[1:]):
        return Pointwise(name, function)
    if name in ("flatten", "view", "reshape", "_unsafe_view", "squeeze") and len(after) == 2:
        return _flattened(before, after)
    if name in ("add", "sub", "mul", "div") and len(given) == 2:
        return _arithmetic(name, given, constants)
    if name == "linear" and len(before) == 2:
        return Linear(_tensor(given[1], constants), _maybe(_at(given, 2, None), constants))
    if name == "batch_norm" and given[5] is False and len(before) in (2, 4):
        return _normalisation([_maybe(part, constants) for part in given[1:5]], float(given[7]))
    if len(before) == 4:
        return _on_maps(name, given, constants)
    raise _Strange


def _on_maps(name: str, given: list[Any], constants: Constants) -> Op:
    if name == "conv2d":
        return _conv(given, constants)
    if name == "max_pool2d" and _pair(_at(given, 4, 1)) == (1, 1) and not _at(given, 5, False):
        return _pool(given, largest=True)
    if name == "avg_pool2d" and not _at(given, 4, False) and _at(given, 6, None) is None:
        pool = _pool(given, largest=False)
        if _at(given, 5, True) or pool.padding == (0, 0):
            return pool
    if name in ("adaptive_avg_pool2d", "_adaptive_avg_pool2d") and _pair(given[1]) == (1, 1):
        return Mean(rows=False)
    if name == "mean" and len(given) > 1 and sorted(axis % 4 for axis in given[1]) == [2, 3]:
        return Mean(rows=not _at(given, 2, False))
    raise _Strange


def _flattened(before: tuple[Any, ...], after: tuple[Any, ...]) -> Flatten | None:
    """Rows of whole images, in their order; anything else is another operation."""
    if str(before[0]) != str(after[0]) or prod(before[1:]) != after[1]:
        raise _Strange
    return Flatten() if len(before) > 2 else None


def _conv(given: list[Any], constants: Constants) -> Conv:
    stride, padding, dilation, groups = (_at(given, 3 + at, usual) for at, usual in enumerate((1, 0, 1, 1)))
    weight, bias, dilation = _tensor(given[1], constants), _maybe(_at(given, 2, None), constants), _pair(dilation)
    if padding == "valid":
        padding = (0, 0)
    if padding == "same":
        beyond = [step * (size - 1) for step, size in zip(dilation, weight.shape[2:], strict=True)]
        odd = [total % 2 for total in beyond]
        if any(one and step > 1 for one, step in zip(odd, dilation, strict=True)):
            raise _Strange
        # An even kernel is padded by one more cell at the end; a kernel with a first row of zeros, evenly.
        weight = F.pad(weight, (odd[1], 0, odd[0], 0))
        padding = [(total + one) // 2 for total, one in zip(beyond, odd, strict=True)]
    return Conv(weight, bias, _pair(stride), _pair(padding), dilation, groups)


def _normalisation(state: list[Tensor | None], eps: float) -> Affine:
    weight, bias, mean, variance = state
    if mean is None or variance is None:
        raise _Strange
    scale = (variance.double() + eps).rsqrt() * (1 if weight is None else weight.double())
    shift = (0 if bias is None else bias.double()) - mean.double() * scale
    return Affine(scale.to(mean.dtype), shift.to(mean.dtype))


def _arithmetic(name: str, given: list[Any], constants: Constants) -> Affine:
    """Arithmetic with a number or with one number per channel."""
    left, right = given
    if isinstance(right, fx.Node) and right.name not in constants:
        left, right = right, left
        if name in ("sub", "div"):
            raise _Strange
    shape = _shape(left)
    value = right if not isinstance(right, fx.Node) else _tensor(right, constants)
    value = torch.as_tensor(value, dtype=torch.get_default_dtype())
    per_channel = value.ndim == 4 and len(shape) == 4 and value.numel() == value.shape[1] == shape[1]
    if len(shape) not in (2, 4) or not (value.numel() == 1 or per_channel):
        raise _Strange
    value = value.reshape(-1).expand(shape[1])
    one, zero = torch.ones_like(value), torch.zeros_like(value)
    if name in ("add", "sub"):
        return Affine(one, value if name == "add" else -value)
    return Affine(value if name == "mul" else one / value, zero)


def _tensor(part: Any, constants: Constants) -> Tensor:
    if not isinstance(part, fx.Node) or part.name not in constants:
        raise _Strange
    return constants[part.name]


def _maybe(part: Any, constants: Constants) -> Tensor | None:
    return None if part is None else _tensor(part, constants)


def _shape(part: Any) -> tuple[Any, ...]:
    value = part.meta.get("val") if isinstance(part, fx.Node) else None
    return tuple(value.shape) if isinstance(value, Tensor) else ()


def _at(given: list[Any], position: int, default: Any) -> Any:
    return given[position] if len(given) > position else default


def _pair(value: Any) -> Pair:
    return (value, value) if isinstance(value, int) else (value[0], value[-1])


def _pool(given: list[Any], *, largest: bool) -> Pool:
    kernel = _pair(given[1])
    stride = _pair(given[2]) if _at(given, 2, None) else kernel
    return Pool(kernel, stride, _pair(_at(given, 3, (0, 0))), largest)
