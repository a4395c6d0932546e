"""The table of operations: which rule spreads a multiplier over the inputs of each primitive."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import torch

from pixelproof.explain.maxima import log_sum_exp, max_pool, maximum
from pixelproof.explain.rules import (
    AttributionRule,
    added,
    convolution,
    dense,
    elementwise,
    linear,
    product,
    relu,
    reshaped,
)

aten = torch.ops.aten

LINEAR = (
    aten.neg.default, aten.mean.default, aten.mean.dim, aten.sum.default, aten.sum.dim_IntList, aten.cumsum.default,
    aten.mul.Scalar, aten.div.Scalar, aten.sub.Scalar, aten.add.Scalar, aten.rsub.Scalar, aten.rsub.Tensor,
    aten.permute.default, aten.transpose.int, aten.t.default, aten.expand.default, aten.repeat.default,
    aten.squeeze.default, aten.squeeze.dim, aten.squeeze.dims, aten.unsqueeze.default, aten.select.int,
    aten.slice.Tensor, aten.cat.default, aten.stack.default, aten.split.Tensor, aten.split_with_sizes.default,
    aten.unbind.int, aten.index_select.default, aten.index.Tensor, aten.gather.default, aten.flip.default,
    aten.roll.default, aten.constant_pad_nd.default, aten.reflection_pad2d.default, aten.replication_pad2d.default,
    aten.diagonal.default, aten.tril.default, aten.triu.default, aten.masked_fill.Scalar,
    aten.avg_pool1d.default, aten.avg_pool2d.default, aten._adaptive_avg_pool2d.default, aten.im2col.default,
    aten.upsample_nearest2d.default, aten.upsample_nearest2d.vec, aten.upsample_bilinear2d.default,
    aten.upsample_bilinear2d.vec, aten.upsample_bicubic2d.default, aten.upsample_bicubic2d.vec,
    aten.pixel_shuffle.default, aten.pixel_unshuffle.default, aten.slice_scatter.default, aten.select_scatter.default,
    aten._to_copy.default,
)  # fmt: skip
SAME_ORDER = (
    aten.reshape.default, aten.clone.default, aten.alias.default, aten.detach.default, aten.lift_fresh_copy.default,
)  # fmt: skip
ELEMENTWISE = (
    aten.gelu.default, aten.silu.default, aten.sigmoid.default, aten.tanh.default, aten.exp.default, aten.log.default,
    aten.log1p.default, aten.expm1.default, aten.sqrt.default, aten.rsqrt.default, aten.reciprocal.default,
    aten.erf.default, aten.sin.default, aten.cos.default, aten.atan.default, aten.abs.default, aten.elu.default,
    aten.leaky_relu.default, aten.softplus.default, aten.hardtanh.default, aten.hardswish.default,
    aten.hardsigmoid.default, aten.relu6.default, aten.mish.default,
    aten._prelu_kernel.default, aten.clamp.default, aten.clamp_min.default, aten.clamp_max.default,
    aten.pow.Tensor_Scalar, aten.pow.Scalar, aten.threshold.default, aten.softshrink.default, aten.hardshrink.default,
    aten.celu.default, aten.log2.default, aten.log10.default, aten.exp2.default,
)  # fmt: skip

RULES: Mapping[Any, AttributionRule] = MappingProxyType(
    {
        **dict.fromkeys(LINEAR, AttributionRule(linear)),
        **dict.fromkeys(SAME_ORDER, AttributionRule(reshaped)),
        **dict.fromkeys(ELEMENTWISE, AttributionRule(elementwise, inputs=True, output=True)),
        **dict.fromkeys((aten.add.Tensor, aten.sub.Tensor), AttributionRule(added)),
        **dict.fromkeys((aten.mm.default, aten.addmm.default), AttributionRule(dense, inputs=True)),
        **dict.fromkeys(
            (aten.mul.Tensor, aten.bmm.default, aten.baddbmm.default, aten.dot.default, aten.mv.default),
            AttributionRule(product, inputs=True),
        ),
        **dict.fromkeys(
            (aten.max_pool2d_with_indices.default, aten.adaptive_max_pool2d.default),
            AttributionRule(max_pool, inputs=True, output=True),
        ),
        **dict.fromkeys((aten.amax.default, aten.max.dim), AttributionRule(maximum, inputs=True, output=True)),
        aten.relu.default: AttributionRule(relu, inputs=True),
        aten.logsumexp.default: AttributionRule(log_sum_exp, inputs=True, output=True),
        aten.convolution.default: AttributionRule(convolution, inputs=True),
    }
)
