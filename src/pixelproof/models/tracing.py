"""What threads must share while torch traces a network: one lock, and modules that nobody else runs."""

from __future__ import annotations

import threading

from torch import nn

TRACING = threading.RLock()
"""Held while torch.export or torch.fx traces: both patch torch for the whole process, so one thread does at a time."""


def twin(module: nn.Module, made: dict[nn.Module, nn.Module] | None = None) -> nn.Module:
    """The same modules once more around the same tensors: tracing puts others in their place for a while.

    A module that cannot be made without its constructor is given back as it is.
    """
    made = {} if made is None else made
    if module in made:
        return made[module]
    try:
        other = module.__new__(type(module))
        other.__dict__ = module.__dict__.copy()
    except Exception:  # compiled and scripted modules build themselves in their own ways
        return module
    made[module] = other
    for registry in ("_parameters", "_buffers"):
        other.__dict__[registry] = dict(getattr(module, registry))
    other.__dict__["_modules"] = {
        name: None if child is None else twin(child, made) for name, child in module._modules.items()
    }
    return other
