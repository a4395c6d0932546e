"""Reads a model's forward pass off its exported graph, as a list of simple steps."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from dataclasses import replace
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor, fx, nn

from pixelproof.attacks.pixel.ops import GraphStep, Pointwise, Pool, Relu
from pixelproof.attacks.pixel.reading import read
from pixelproof.attacks.pixel.words import Unreadable, brief
from pixelproof.models.tracing import TRACING, twin

VIEW = torch.ops.aten.view.default
RESHAPE = torch.ops.aten.reshape.default


def capture(model: nn.Module, image: Tensor) -> list[GraphStep]:
    """The steps of `model` in evaluation mode, for inputs shaped like `image` (1, c, h, w).

    Raises Unreadable for a model that torch.export cannot trace, or whose answer does not depend on the image. Threads
    capture one after the other: the exporter changes torch for the whole process while it runs.
    """
    try:
        with TRACING, _silent(), torch.no_grad():
            batch = torch.export.Dim("n", min=2, max=2**20)
            program = torch.export.export(
                twin(model), (image.repeat(3, 1, 1, 1),), dynamic_shapes=({0: batch},), strict=False
            )
    except Exception as reason:  # the exporter raises many kinds
        raise Unreadable(f"torch.export cannot trace it ({brief(reason)})") from reason
    return _swap_pools(_Reader(program).steps())


@contextmanager
def _silent() -> Iterator[None]:
    """Without the exporter's own deprecations, logs and prints, which are not the caller's business."""
    log = logging.getLogger("torch.fx.experimental.symbolic_shapes")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)


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
        self.module = program.graph_module
        self.constants = {name: state[target].detach() for name, target in named.items()}
        self.images = str(signature.user_inputs[0])
        self.answer = str(signature.user_outputs[0])
        self.number = {self.images: 0}

    def steps(self) -> list[GraphStep]:
        """Steps in graph order; a value that is only passed on (dropout, clone) gets no step of its own."""
        steps: list[GraphStep] = []
        last = -1
        for node in self.graph.nodes:
            if node.op == "placeholder" and node.name == self.images:
                self.batch = node.meta["val"].shape[0]
            if node.op == "output":
                last = self.number.get(self.answer, -1)
            if node.op != "call_function" or not isinstance(node.meta.get("val"), Tensor):
                continue
            feeds = self._feeds(node)
            sources = tuple(self.number[part.name] for part in feeds)
            if not feeds:
                self._fold(node)
                continue
            op = read(node, len(feeds), self.constants, self._function(node, feeds))
            if op is None:
                self.number[node.name] = sources[0]
                continue
            steps.append(GraphStep(op, sources, node.name))
            self.number[node.name] = len(steps)
            changed = self._changed(node)
            if changed is not None:  # whoever reads the value from here on reads what it was changed to
                self.number |= {name: len(steps) for name, at in self.number.items() if at == changed}
        if last < 0:
            raise Unreadable("its answer does not depend on the image")
        if last != len(steps):
            steps.append(GraphStep(Pointwise("output", torch.clone), (last,), "output"))
        return steps

    def _changed(self, node: fx.Node) -> int | None:
        """The step whose value an in-place node overwrites."""
        return self.number.get(node.args[0].name) if _in_place(node) and isinstance(node.args[0], fx.Node) else None

    def _feeds(self, node: fx.Node) -> list[fx.Node]:
        """The steps' values that a node reads, also through nodes that give several tensors or none of an image."""
        found: dict[str, fx.Node] = {}
        queue = list(node.all_input_nodes)
        while queue:
            part = queue.pop(0)
            if part.name in self.number:
                found.setdefault(part.name, part)
            elif part.name not in self.constants and not isinstance(part.meta.get("val"), _SIZES):
                queue = [*part.all_input_nodes, *queue]
        return list(found.values())

    def _fold(self, node: fx.Node) -> None:
        """Compute what depends on weights alone, once, unless it is drawn at random or sized like the batch."""
        fixed = all(part.name in self.constants for part in node.all_input_nodes)
        tags = getattr(node.target, "tags", ())
        if fixed and torch.Tag.nondeterministic_seeded not in tags and not _in_place(node):
            with torch.no_grad():
                self.constants[node.name] = self._function(node, [])()

    def _function(self, node: fx.Node, feeds: Sequence[fx.Node]) -> Callable[..., Tensor]:
        """The node as a function of the steps' values it reads; sizes follow the batch that these hold."""

        def call(*live: Tensor) -> Tensor:
            known = dict(zip((part.name for part in feeds), live, strict=True))

            def value(part: Any) -> Any:
                if not isinstance(part, fx.Node):
                    return part
                if part.name in known:
                    return known[part.name]
                if part.name in self.constants:
                    return self.constants[part.name]
                if part.op == "get_attr":
                    return attrgetter(str(part.target))(self.module)
                if isinstance(part.meta.get("val"), _SIZES):
                    return self._size(part.meta["val"], feeds, live)
                known[part.name] = result(part)
                return known[part.name]

            def result(part: fx.Node) -> Any:
                mapped: Any = fx.node.map_aggregate(part.args, value)
                settings: Any = fx.node.map_aggregate(part.kwargs, value)
                if _in_place(part):
                    mapped = (mapped[0].clone(), *mapped[1:])  # activations are kept and read again
                target: Any = RESHAPE if part.target is VIEW else part.target  # maps may be laid out channels-last
                return target(*mapped, **settings)

            out: Tensor = result(node)
            return out

        return call

    def _size(self, size: Any, feeds: Sequence[fx.Node], live: Sequence[Tensor]) -> Any:
        """A size as a number, for the batch that `live` holds."""
        if isinstance(size, int | float | bool):
            return size
        rows = self.batch.node.expr
        for part, tensor in zip(feeds, live, strict=True):
            for expected, found in zip(part.meta["val"].shape, tensor.shape, strict=True):
                times = None if isinstance(expected, int) else expected.node.expr / rows
                if times is not None and times.is_Integer:
                    return _kind(size)(size.node.expr.subs(rows, found // int(times)))
        raise Unreadable("it asks for the size of a batch that cannot be told")


_SIZES = (int, float, bool, torch.SymInt, torch.SymFloat, torch.SymBool)


def _kind(size: torch.SymInt | torch.SymFloat | torch.SymBool) -> type:
    """The type of number that a symbolic one stands for."""
    return float if isinstance(size, torch.SymFloat) else bool if isinstance(size, torch.SymBool) else int


def _in_place(node: fx.Node) -> bool:
    schema = getattr(node.target, "_schema", None)
    return schema is not None and bool(schema.is_mutable) and bool(node.args)


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
