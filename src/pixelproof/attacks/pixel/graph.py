"""Reads a model's forward pass off its exported graph, as a list of simple steps."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from pixelproof.attacks.pixel.ops import (
    Add,
    Affine,
    Conv,
    Flatten,
    GraphStep,
    Linear,
    Mean,
    Op,
    Other,
    Pair,
    Pointwise,
    Pool,
    Relu,
)


def capture(model: nn.Module, image: Tensor) -> list[GraphStep]:
    """The steps of `model` in evaluation mode, for inputs shaped like `image` (1, c, h, w).

    Raises whatever torch.export raises for a model that it cannot trace.
    """
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the exporter's own deprecations are not the caller's business
        batch = torch.export.Dim("n", min=2, max=2**20)
        program = torch.export.export(model, (image.repeat(3, 1, 1, 1),), dynamic_shapes=({0: batch},), strict=False)
    return _swap_pools(_Reader(program).steps())


class _Reader:
    """Turns the nodes of an exported program into steps."""

    def __init__(self, program: torch.export.ExportedProgram) -> None:
        signature = program.graph_signature
        state = {**program.constants, **program.state_dict}
        named = {
            **signature.inputs_to_parameters,
            **signature.inputs_to_buffers,
            **signature.inputs_to_lifted_tensor_constants,
        }
        self.graph = program.graph
        self.constants = {name: state[target].detach() for name, target in named.items()}
        self.images = signature.user_inputs[0]

    def steps(self) -> list[GraphStep]:
        """Steps in graph order; a value that is only passed on (dropout, clone) gets no step of its own."""
        number: dict[str, int] = {str(self.images): 0}
        steps: list[GraphStep] = []
        live = self._live(number)
        last = 0
        for node in self.graph.nodes:
            if node.op == "output":
                last = number[node.args[0][0].name]
            if node.op != "call_function" or node.name not in live:
                continue
            sources = tuple(number[part.name] for part in _tensors(node) if part.name in number)
            op = self._read(node, len(sources))
            if op is None:
                number[node.name] = sources[0]
                continue
            steps.append(GraphStep(op, sources, node.name))
            number[node.name] = len(steps)
        if last != len(steps):
            steps.append(GraphStep(Pointwise("output", torch.clone), (last,), "output"))
        return steps

    def _live(self, seeds: dict[str, int]) -> set[str]:
        """Names of the nodes that carry tensors computed from the images (sizes are folded into their users)."""
        live = set(seeds)
        for node in self.graph.nodes:
            carries = isinstance(node.meta.get("val"), Tensor)
            if node.op == "call_function" and carries and any(part.name in live for part in _tensors(node)):
                live.add(node.name)
        return live

    def _constant(self, part: Any) -> Any:
        return self.constants[part.name] if isinstance(part, torch.fx.Node) else part

    def _read(self, node: torch.fx.Node, sources: int) -> Op | None:
        """The operation of a node; None when it passes its input on unchanged."""
        name = str(node.target).removeprefix("aten.").partition(".")[0]
        given: list[Any] = list(node.args)
        before = _shape(given[0])
        after = tuple(node.meta["val"].shape)
        if sources == 1 and not node.kwargs:
            if name in ("dropout", "clone", "contiguous", "alias", "detach", "feature_dropout", "dropout_"):
                return None if name != "dropout" or not given[2] else self._other(node)
            if name in ("flatten", "view", "reshape", "_unsafe_view", "squeeze") and len(after) == 2:
                return Flatten() if len(before) > 2 else None
            if name == "conv2d":
                extra = [self._constant(part) for part in given[1:]] + [None, [1, 1], [0, 0], [1, 1], 1][
                    len(given) - 2 :
                ]
                weight, bias, stride, padding, dilation, groups = extra
                return Conv(weight, bias, _pair(stride), _pair(padding), _pair(dilation), groups)
            if name == "max_pool2d" and (len(given) < 5 or _pair(given[4]) == (1, 1)) and not _at(given, 5, False):
                return _pool(given, largest=True)
            if name == "avg_pool2d" and not _at(given, 4, False) and _at(given, 6, None) is None:
                pool = _pool(given, largest=False)
                return pool if _at(given, 5, True) or pool.padding == (0, 0) else self._other(node)
            if name in ("adaptive_avg_pool2d", "_adaptive_avg_pool2d") and _pair(given[1]) == (1, 1):
                return Mean(rows=False)
            if name == "linear" and len(before) == 2:
                return Linear(self._constant(given[1]), self._constant(_at(given, 2, None)))
            if name in ("relu", "relu_"):
                return Relu()
            if name == "batch_norm" and given[5] is False:
                return self._normalisation([self._constant(part) for part in given[1:5]], float(given[7]))
            if name in ("add", "sub", "mul", "div"):
                return self._arithmetic(name, node) or self._other(node)
            if name in _POINTWISE and len(before) == len(after):
                return Pointwise(name, self._function(node))
        if name == "mean" and len(before) == 4 and sorted(axis % 4 for axis in given[1]) == [2, 3] and not node.kwargs:
            return Mean(rows=not _at(given, 2, False))
        same = before == after == _shape(given[1]) if len(given) > 1 and sources == 2 else False
        if name in ("add", "add_") and same and not node.kwargs and given[0] is not given[1]:
            return Add()
        return self._other(node)

    def _other(self, node: torch.fx.Node) -> Other:
        return Other(str(node.target), self._function(node))

    def _function(self, node: torch.fx.Node) -> Callable[..., Tensor]:
        """The node as a function of the live tensors it reads; symbolic sizes follow the batch it is given."""
        batch = node.meta["val"].shape[0]

        def call(*live: Tensor) -> Tensor:
            queue = list(live)
            seen: dict[str, Tensor] = {}

            def put(part: Any) -> Any:
                if not isinstance(part, torch.fx.Node):
                    return part
                if part.name in self.constants:
                    return self.constants[part.name]
                if not isinstance(part.meta.get("val"), Tensor):
                    return live[0].shape[0] if str(part.meta.get("val")) == str(batch) else part.meta["val"]
                if part.name not in seen:
                    seen[part.name] = queue.pop(0)
                return seen[part.name]

            arguments = torch.fx.node.map_aggregate(node.args, put)
            settings = torch.fx.node.map_aggregate(node.kwargs, put)
            out: Tensor = node.target(*arguments, **settings)  # type: ignore[operator]
            return out

        return call

    def _normalisation(self, state: list[Tensor | None], eps: float) -> Affine:
        weight, bias, mean, variance = state
        assert mean is not None
        assert variance is not None
        scale = (variance.double() + eps).rsqrt() * (1 if weight is None else weight.double())
        shift = (0 if bias is None else bias.double()) - mean.double() * scale
        return Affine(scale.to(mean.dtype), shift.to(mean.dtype))

    def _arithmetic(self, name: str, node: torch.fx.Node) -> Affine | None:
        """Arithmetic with a number or with one number per channel; None for any other shape."""
        left, right = node.args[0], node.args[1]
        if isinstance(right, torch.fx.Node) and right.name not in self.constants:
            left, right = right, left
            if name in ("sub", "div"):
                return None
        channels = _shape(left)[1]
        value = torch.as_tensor(self._constant(right), dtype=torch.get_default_dtype())
        if value.numel() != 1 and (value.ndim != 4 or value.numel() != channels or value.shape[1] != channels):
            return None
        value = value.reshape(-1).expand(channels)
        one, zero = torch.ones_like(value), torch.zeros_like(value)
        if name in ("add", "sub"):
            return Affine(one, value if name == "add" else -value)
        return Affine(value if name == "mul" else one / value, zero)


_POINTWISE = frozenset(
    {
        "sigmoid",
        "tanh",
        "gelu",
        "silu",
        "silu_",
        "elu",
        "elu_",
        "leaky_relu",
        "leaky_relu_",
        "softplus",
        "hardtanh",
        "hardtanh_",
        "relu6",
        "abs",
        "neg",
        "exp",
        "hardswish",
        "hardswish_",
        "hardsigmoid",
        "mish",
        "clamp",
        "clamp_min",
        "clamp_max",
        "square",
        "sqrt",
        "selu",
        "celu",
    }
)


def _tensors(node: torch.fx.Node) -> list[torch.fx.Node]:
    return list(node.all_input_nodes)


def _shape(part: Any) -> tuple[Any, ...]:
    return tuple(part.meta["val"].shape) if isinstance(part, torch.fx.Node) else ()


def _at(given: list[Any], position: int, default: Any) -> Any:
    return given[position] if len(given) > position else default


def _pair(value: Any) -> Pair:
    return (value, value) if isinstance(value, int) else (value[0], value[-1])


def _pool(given: list[Any], *, largest: bool) -> Pool:
    kernel = _pair(given[1])
    stride = _pair(given[2]) if _at(given, 2, None) else kernel
    return Pool(kernel, stride, _pair(_at(given, 3, (0, 0))), largest)


def _swap_pools(steps: list[GraphStep]) -> list[GraphStep]:
    """Rectifier then maximum as maximum then rectifier, which is the same function on fewer values."""
    users = [0] * (len(steps) + 1)
    for step in steps:
        for source in step.inputs:
            users[source] += 1
    swapped = list(steps)
    for position, step in enumerate(steps):
        source = step.inputs[0]
        pooled = isinstance(step.op, Pool) and step.op.largest
        if pooled and source and users[source] == 1 and isinstance(swapped[source - 1].op, Relu) and source == position:
            swapped[source - 1] = replace(swapped[source - 1], op=step.op, name=step.name)
            swapped[position] = replace(step, op=Relu(), name=swapped[source - 1].name)
    return swapped
