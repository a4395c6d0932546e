"""A hook on a module for a while, heard by the thread that set it: others may run the same network meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn


@contextmanager
def hooked(module: nn.Module, hook: Callable[..., Any], *, before: bool = False) -> Iterator[None]:
    """Inside, `hook` runs after (or `before`) each pass of this thread through `module`; gone afterwards, always.

    It is called as torch calls forward hooks (pre-hooks), and what it returns takes the place of the output (input).
    """
    own = threading.get_ident()

    def heard(*passed: Any) -> Any:
        return hook(*passed) if threading.get_ident() == own else None

    handle = module.register_forward_pre_hook(heard) if before else module.register_forward_hook(heard)
    try:
        yield
    finally:
        handle.remove()
