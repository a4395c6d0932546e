"""The operations that a model's forward pass is read as, and a forward pass as a list of steps.

An operation knows how to run on whole maps and, where it reads windows, their reach, stride and padding. What it does
to a change is in `windows.py`, and what it does to a bound in `bounds.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch.nn.functional as F
from torch import Tensor

Pair: TypeAlias = tuple[int, int]
Span: TypeAlias = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Conv:
    """A two-dimensional convolution."""

    weight: Tensor
    bias: Tensor | None
    stride: Pair
    padding: Pair
    dilation: Pair
    groups: int

    def dense(self, x: Tensor) -> Tensor:
        """The convolution of whole maps."""
        return F.conv2d(x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)

    def window(self, axis: int) -> tuple[int, int, int]:
        """Reach, stride and padding along an axis: output o reads inputs o * stride - padding + [0, reach)."""
        reach = self.dilation[axis] * (self.weight.shape[2 + axis] - 1) + 1
        return reach, self.stride[axis], self.padding[axis]


@dataclass(frozen=True)
class Pool:
    """A maximum or average over windows; an average counts the padding as zeros."""

    kernel: Pair
    stride: Pair
    padding: Pair
    largest: bool

    def dense(self, x: Tensor) -> Tensor:
        """The pooled whole maps."""
        pool = F.max_pool2d if self.largest else F.avg_pool2d
        out: Tensor = pool(x, self.kernel, self.stride, self.padding)
        return out

    def window(self, axis: int) -> tuple[int, int, int]:
        """Reach, stride and padding along an axis."""
        return self.kernel[axis], self.stride[axis], self.padding[axis]


@dataclass(frozen=True, eq=False)
class Affine:
    """Multiplication by a number per channel and addition of another: batch-norm in evaluation, normalisation."""

    scale: Tensor
    shift: Tensor

    def dense(self, x: Tensor) -> Tensor:
        """The scaled and shifted maps or rows."""
        shape = (1, -1) + (1,) * (x.ndim - 2)
        return x * self.scale.view(shape) + self.shift.view(shape)


@dataclass(frozen=True)
class Relu:
    """The rectifier."""

    def dense(self, x: Tensor) -> Tensor:
        """The positive part."""
        return x.relu()


@dataclass(frozen=True, eq=False)
class Pointwise:
    """Any other function of single values (sigmoid, GELU, ...)."""

    name: str
    function: Callable[[Tensor], Tensor]

    def dense(self, x: Tensor) -> Tensor:
        """The function of every value."""
        return self.function(x)


@dataclass(frozen=True)
class Add:
    """The sum of two maps, as in a residual block."""

    def dense(self, x: Tensor, y: Tensor) -> Tensor:
        """The sum."""
        return x + y


@dataclass(frozen=True)
class Mean:
    """The average of each channel over the whole map, as rows (n, channels) or as 1 x 1 maps."""

    rows: bool

    def dense(self, x: Tensor) -> Tensor:
        """The channel means."""
        return x.mean((2, 3)) if self.rows else x.mean((2, 3), keepdim=True)


@dataclass(frozen=True)
class Flatten:
    """Maps (n, c, h, w) as rows (n, c * h * w)."""

    def dense(self, x: Tensor) -> Tensor:
        """The rows."""
        return x.flatten(1)


@dataclass(frozen=True, eq=False)
class Linear:
    """A dense layer."""

    weight: Tensor
    bias: Tensor | None

    def dense(self, x: Tensor) -> Tensor:
        """The layer's output rows."""
        return F.linear(x, self.weight, self.bias)


@dataclass(frozen=True, eq=False)
class Other:
    """An operation that this module does not understand: it can only be run, on whole maps."""

    name: str
    function: Callable[..., Tensor]

    def dense(self, *x: Tensor) -> Tensor:
        """Whatever the operation gives."""
        return self.function(*x)


Op: TypeAlias = Conv | Pool | Affine | Relu | Pointwise | Add | Mean | Flatten | Linear | Other


@dataclass(frozen=True, eq=False)
class GraphStep:
    """One operation, the values it reads (0 is the image, k the output of step k) and its name in the graph."""

    op: Op
    inputs: tuple[int, ...]
    name: str


def run(steps: Sequence[GraphStep], images: Tensor) -> list[Tensor]:
    """Every value of the graph, the images first and the logits last."""
    values = [images]
    for step in steps:
        values.append(step.op.dense(*(values[source] for source in step.inputs)))
    return values
