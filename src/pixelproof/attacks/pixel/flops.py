"""Counts multiplications and additions of one thread's operations, without hooks on anybody's modules."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry


class Flops(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts while it is entered, by torch's own table.

    `FlopCounterMode` hooks every module of the process, which breaks the passes of other threads.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.total: float = 0.0

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run an operation and add what it costs."""
        out = func(*args, **(kwargs or {}))
        cost = flop_registry.get(getattr(func, "_overloadpacket", None))
        if cost is not None:
            self.total += float(cost(*args, **(kwargs or {}), out_val=out))
        return out
