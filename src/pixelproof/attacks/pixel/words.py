"""What the operations of a graph are called in messages, and why a graph cannot be read."""

from __future__ import annotations

from collections.abc import Iterable

from pixelproof.attacks.pixel.ops import Add, Affine, Conv, Flatten, GraphStep, Linear, Mean, Other, Pointwise, Pool

NAMED = {
    "adaptive_avg_pool2d": "adaptive average pooling",
    "adaptive_max_pool2d": "adaptive max pooling",
    "avg_pool2d": "average pooling with a divisor, a rounded-up size or uncounted padding",
    "max_pool2d": "max pooling with dilation or a rounded-up size",
    "batch_norm": "batch normalisation by the batch's own statistics",
    "cat": "concatenation",
    "channel_shuffle": "channel shuffle",
    "conv3d": "three-dimensional convolution",
    "conv2d": "a convolution of this form",
    "conv_transpose2d": "transposed convolution",
    "div": "division of two values",
    "dropout": "dropout",
    "embedding": "a table looked up by the image",
    "linalg_vector_norm": "the norm of a value",
    "lstm": "an LSTM",
    "masked_fill": "filling by a mask",
    "pixel_shuffle": "pixel shuffle",
    "elu": "ELU",
    "celu": "CELU",
    "selu": "SELU",
    "expand": "expansion over the batch",
    "gelu": "GELU",
    "grid_sampler": "grid sampling",
    "group_norm": "group normalisation",
    "hardsigmoid": "hard sigmoid",
    "hardswish": "hard swish",
    "hardtanh": "hard tanh",
    "instance_norm": "instance normalisation",
    "layer_norm": "layer normalisation",
    "leaky_relu": "leaky ReLU",
    "linear": "a dense layer on tokens",
    "matmul": "matrix multiplication",
    "mean": "averaging over some axes",
    "mish": "Mish",
    "mul": "multiplication of two values",
    "pad": "padding as an operation of its own",
    "permute": "permutation of axes",
    "prelu": "PReLU",
    "relu6": "ReLU6",
    "scaled_dot_product_attention": "attention",
    "sigmoid": "sigmoid",
    "silu": "SiLU",
    "softmax": "softmax",
    "softplus": "softplus",
    "tanh": "tanh",
    "topk": "the choice of the k largest",
    "upsample_bilinear2d": "bilinear resizing",
    "upsample_nearest2d": "nearest-neighbour resizing",
    "where": "choice by a condition",
}
MOVING = (
    *("flatten", "unflatten", "view", "reshape", "squeeze", "unsqueeze", "transpose", "permute", "select", "slice"),
    *("expand", "expand_as", "to", "cat"),
)  # what only puts values elsewhere: named after what computes something


class Unreadable(Exception):
    """Why a model's forward pass cannot be followed step by step, in words that go after "the model's graph"."""


def in_words(step: GraphStep) -> str:
    """What a step is called in a sentence: "global average pooling", "GELU"."""
    match step.op:
        case Conv():
            return "convolution"
        case Pool():
            return "max pooling" if step.op.largest else "average pooling"
        case Affine():
            return "normalisation or scaling per channel"
        case Add():
            return "addition of two values"
        case Mean():
            return "global average pooling"
        case Flatten():
            return "flattening without a dense layer after it"
        case Linear():
            return "a dense layer"
        case Pointwise() | Other():
            return NAMED.get(step.op.name, f"the operation '{step.op.name}'")
        case _:
            return "ReLU"


def moves(step: GraphStep) -> bool:
    """Whether a step computes nothing and only puts values elsewhere."""
    return isinstance(step.op, Other) and step.op.name in MOVING


def listed(names: Iterable[str], most: int = 5) -> str:
    """Names once each, in their order, as a sentence has them; the rest counted."""
    once = list(dict.fromkeys(names))
    more = [f"{len(once) - most} more"] if len(once) > most else []
    parts = [*once[:most], *more]
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def brief(reason: BaseException) -> str:
    """An outside error in one short line."""
    first = (str(reason).strip().splitlines() or [""])[0]
    return f"{type(reason).__name__}: {first[:120]}" if first else type(reason).__name__
