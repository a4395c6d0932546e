"""Modes of a network, and copies of it, for a while: what was there before comes back."""

from __future__ import annotations

import copy
import io
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from pixelproof.errors import BadInput

Module = TypeVar("Module", bound=nn.Module)


class _Held:
    """One holder's claim on an attribute of an object: what it found there."""

    def __init__(self, owner: Any, before: bool) -> None:
        self.owner, self.before = owner, before


class _Holds:
    """A boolean attribute that any number of threads may want to be False at once, for a while.

    What the first of them found comes back when the last has left, in whichever order they leave.
    """

    def __init__(self, attribute: str) -> None:
        self._attribute = attribute
        self._claims: dict[int, list[_Held]] = {}  # by identity of the owner, which each claim keeps alive
        self._lock = threading.RLock()

    def take(self, owners: Iterable[Any], change: Callable[[], object]) -> list[_Held]:
        """Note what each owner has, and `change` it."""
        with self._lock:
            claims = [_Held(owner, getattr(owner, self._attribute)) for owner in owners]
            for claim in claims:
                self._claims.setdefault(id(claim.owner), []).append(claim)
            change()
        return claims

    def give(self, claims: list[_Held]) -> None:
        """Put back what each owner had, or leave that to whoever still holds it."""
        with self._lock:
            for claim in claims:
                others = self._claims[id(claim.owner)]
                at = others.index(claim)
                del others[at]
                if at < len(others):  # a later one found this one's False
                    others[at].before |= claim.before
                else:
                    setattr(claim.owner, self._attribute, claim.before)
                if not others:
                    del self._claims[id(claim.owner)]


_MODES, _GRADIENTS = _Holds("training"), _Holds("requires_grad")


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode inside, every submodule's own mode restored afterwards, also after an error.

    Threads may do so with one network at once: the last to leave restores the modes.
    """
    claims = _MODES.take(module.modules(), module.eval)
    try:
        yield
    finally:
        _MODES.give(claims)


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Evaluation mode and no parameter gradients inside; both restored afterwards. `param.grad` is never touched.

    As with `evaluating`, any number of threads may do so at once.
    """
    parameters = list(module.parameters())
    with evaluating(module):
        claims = _GRADIENTS.take(parameters, lambda: [each.requires_grad_(False) for each in parameters])
        try:
            yield
        finally:
            _GRADIENTS.give(claims)


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
