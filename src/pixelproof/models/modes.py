"""Modes of a network, and copies of it, for a while: what was there before comes back."""

from __future__ import annotations

import copy
import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from pixelproof.errors import BadInput

Module = TypeVar("Module", bound=nn.Module)


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode inside, every submodule's own mode restored afterwards, also after an error."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Evaluation mode and no parameter gradients inside; both restored afterwards. `param.grad` is never touched."""
    wanted = [(parameter, parameter.requires_grad) for parameter in module.parameters()]
    with evaluating(module):
        for parameter, _ in wanted:
            parameter.requires_grad_(False)
        try:
            yield
        finally:
            for parameter, needs in wanted:
                parameter.requires_grad_(needs)


def duplicate(module: Module) -> Module:
    """A deep copy of a network that shares no tensor with it, gradients left out.

    Plain `copy.deepcopy` refuses what a forward pass computed and left on a module (the weights of the older
    `weight_norm` and `spectral_norm`, activations that are kept), and gives a scripted network parameters that cannot
    be trained: the former are copied without their history here, the latter written and read back.

    Raises BadInput for a network that still cannot be copied.
    """
    try:
        with warnings.catch_warnings():
            # torch says of TorchScript, and of its own copies of exported graphs, that they are on their way out
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.simplefilter("ignore", FutureWarning)
            return copy.deepcopy(module, _copies(module))
    except (RuntimeError, TypeError, NotImplementedError, AttributeError) as reason:
        detail = (str(reason).splitlines() or [type(reason).__name__])[0][:160]
        do = "Keep what cannot be copied (open files, locks, graphs) outside the network."
        raise BadInput(type(module).__name__, "must be a network that can be copied", detail, do) from reason


def _copies(module: nn.Module) -> dict[int, Any]:
    """By identity, the copies of what deepcopy cannot copy itself."""
    copies: dict[int, Any] = {}
    inner: set[int] = set()
    for part in module.modules():
        if isinstance(part, torch.jit.ScriptModule):
            if id(part) not in inner:
                copies[id(part)] = _scripted(part)
                inner.update(id(below) for below in part.modules())
            continue
        copies.update({id(each): each.detach().clone() for each in _tensors(vars(part)) if not each.is_leaf})
    return copies


def _scripted(part: Any) -> nn.Module:
    """A copy of a TorchScript module, by way of its own file format."""
    written = io.BytesIO()
    torch.jit.save(part, written)
    written.seek(0)
    read: nn.Module = torch.jit.load(written)  # type: ignore[no-untyped-call]
    return read


def _tensors(value: Any) -> Iterator[Tensor]:
    """The tensors in an attribute, also inside lists, tuples and dicts."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for inner in list(value.values()):
            yield from _tensors(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _tensors(inner)
