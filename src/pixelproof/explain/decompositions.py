"""Composite operations written as the few primitives that have a rule, so that tracing takes them apart.

Every function computes exactly what the operation of the same name computes in evaluation mode. A softmax becomes
exp(x - logsumexp(x)), a normalisation becomes means, products and one reciprocal root, a division becomes a product.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from pixelproof.errors import BadInput

aten = torch.ops.aten


def _normalised(x: Tensor, dims: list[int], eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """`x` with mean 0 and variance 1 over `dims`, the mean and the reciprocal standard deviation."""
    mean = x.mean(dims, keepdim=True)
    centred = x - mean
    scale = ((centred * centred).mean(dims, keepdim=True) + eps).rsqrt()
    return centred * scale, mean, scale


def _affine(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    x = x if weight is None else x * weight
    return x if bias is None else x + bias


def layer_norm(
    x: Tensor, shape: Sequence[int], weight: Tensor | None, bias: Tensor | None, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Layer normalisation (Ba et al. 2016, arXiv 1607.06450)."""
    out, mean, scale = _normalised(x, list(range(-len(shape), 0)), eps)
    return _affine(out, weight, bias), mean, scale


def _per_channel(values: Tensor | None, ndim: int) -> Tensor | None:
    return None if values is None else values.view(1, -1, *[1] * (ndim - 2))


def group_norm(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    n: int,
    channels: int,
    size: int,
    groups: int,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Group normalisation (Wu and He 2018, arXiv 1803.08494)."""
    out, mean, scale = _normalised(x.reshape(n, groups, -1), [2], eps)
    out = _affine(out.reshape(x.shape), _per_channel(weight, x.ndim), _per_channel(bias, x.ndim))
    return out, mean.reshape(n, groups), scale.reshape(n, groups)


def batch_norm(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    mean: Tensor | None,
    variance: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Batch normalisation with running statistics, or instance normalisation, which torch runs as the training mode."""
    if training or mean is None or variance is None:
        out, mean, scale = _normalised(x, [0, *range(2, x.ndim)], eps)
        out = _affine(out, _per_channel(weight, x.ndim), _per_channel(bias, x.ndim))
        return out, mean.flatten(), scale.flatten()
    scale = (variance + eps).rsqrt()
    gain = scale if weight is None else scale * weight
    shift = -mean * gain if bias is None else bias - mean * gain
    out = x * gain.view(1, -1, *[1] * (x.ndim - 2)) + shift.view(1, -1, *[1] * (x.ndim - 2))
    return out, mean, scale


def batch_norm_evaluated(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, mean: Tensor, variance: Tensor, momentum: float, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Batch normalisation with running statistics."""
    return batch_norm(x, weight, bias, mean, variance, False, momentum, eps)


def cudnn_batch_norm(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    mean: Tensor | None,
    variance: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Batch normalisation as a GPU runs it: one more output, which only its training uses."""
    return (*batch_norm(x, weight, bias, mean, variance, training, momentum, eps), x.new_empty(0))


def log_softmax(x: Tensor, dim: int, half_to_float: bool = False) -> Tensor:
    """x - log(sum(exp(x)))."""
    return x - torch.logsumexp(x, [dim], keepdim=True)


def softmax(x: Tensor, dim: int, half_to_float: bool = False) -> Tensor:
    """exp(x - log(sum(exp(x)))): every factor stays in [0, 1]."""
    return log_softmax(x, dim, half_to_float).exp()


def safe_softmax(x: Tensor, dim: int, dtype: torch.dtype | None = None) -> Tensor:
    """The softmax inside attention; rows that are masked throughout are not supported."""
    return softmax(x if dtype is None else x.to(dtype), dim)


def division(a: Tensor, b: Tensor | float | int) -> Tensor:
    """a / b as a product; a constant denominator folds away."""
    return a * (b.reciprocal() if isinstance(b, Tensor) else 1 / b)


def variance(
    x: Tensor, dim: list[int] | None = None, *, correction: float | int | None = None, keepdim: bool = False
) -> Tensor:
    """Mean squared distance from the mean, times n / (n - correction)."""
    dims = list(range(x.ndim)) if dim is None else list(dim)
    centred = x - x.mean(dims, keepdim=True)
    n = math.prod(x.shape[axis] for axis in dims)
    return (centred * centred).sum(dims, keepdim=keepdim) / (n - (1 if correction is None else correction))


def standard_deviation(
    x: Tensor, dim: list[int] | None = None, *, correction: float | int | None = None, keepdim: bool = False
) -> Tensor:
    """Square root of the variance."""
    return variance(x, dim, correction=correction, keepdim=keepdim).sqrt()


def vector_norm(
    x: Tensor,
    ord: int | float = 2,
    dim: list[int] | None = None,
    keepdim: bool = False,
    *,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """The l2 norm; other orders are refused."""
    if ord != 2 or dtype is not None:
        raise BadInput("deep-shap", "norms inside a network must be l2", f"order {ord}", "Write it with abs and sum.")
    return (x * x).sum(list(range(x.ndim)) if dim is None else list(dim), keepdim=keepdim).sqrt()


def gated(x: Tensor, dim: int = -1) -> Tensor:
    """GLU: one half times the sigmoid of the other."""
    left, right = x.chunk(2, dim)
    return left * right.sigmoid()


def log_sigmoid(x: Tensor) -> tuple[Tensor, Tensor]:
    """-log(1 + exp(-x)), and a buffer that only its training uses."""
    return -torch.nn.functional.softplus(-x), x.new_empty(0)


def copied(old: Tensor, new: Tensor, non_blocking: bool = False) -> Tensor:
    """What an assignment leaves: the new value in the old shape."""
    return new.to(old.dtype).expand_as(old).clone()


DECOMPOSITIONS: Mapping[Any, Callable[..., Any]] = MappingProxyType(
    {
        aten.native_layer_norm.default: layer_norm,
        aten.native_group_norm.default: group_norm,
        aten.native_batch_norm.default: batch_norm,
        aten._native_batch_norm_legit_no_training.default: batch_norm_evaluated,
        aten.cudnn_batch_norm.default: cudnn_batch_norm,
        aten._softmax.default: softmax,
        aten._log_softmax.default: log_softmax,
        aten._safe_softmax.default: safe_softmax,
        aten.div.Tensor: division,
        aten.var.correction: variance,
        aten.std.correction: standard_deviation,
        aten.linalg_vector_norm.default: vector_norm,
        aten.copy.default: copied,
        aten.glu.default: gated,
        aten.log_sigmoid_forward.default: log_sigmoid,
    }
)
