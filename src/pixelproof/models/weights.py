"""Weights from files: safetensors, or what training scripts keep, read without unpickling anything but tensors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from pixelproof.data.files import check_plain
from pixelproof.errors import BadInput, CorruptFile

INSIDE = ("state_dict", "model_state_dict", "model", "net", "network", "weights", "params", "ema", "module")
ESCAPE = re.compile(r"\x1b\[[0-9;]*m")


def read_weights(path: Path) -> dict[str, Tensor]:
    """A state dict from a safetensors file, or from a torch file read with weights_only=True.

    Of a checkpoint that holds more (Lightning, {"model": ..., "optimizer": ...}) the network's state dict is taken.
    Raises BadInput for a file that is not there, CorruptFile for one that is damaged, holds code or no state dict.
    """
    check_plain(path, "weights")
    try:
        found: Any
        if path.suffix == ".safetensors":
            found = safetensors.torch.load_file(path)
        else:
            found = torch.load(path, weights_only=True, map_location="cpu")
    except Exception as reason:  # torch and safetensors raise many kinds for a damaged or unsafe file
        raise CorruptFile(str(path), "expected safetensors or a plain state dict", *_why(reason)) from reason
    inner = _state_dict(found)
    if inner is None:
        got = type(found).__name__
        if isinstance(found, Mapping):
            got = "the keys " + ", ".join(repr(key)[:40] for key in list(found)[:8])
        do = "Save the network's weights alone: torch.save(net.state_dict(), path)."
        raise CorruptFile(str(path), "expected a state dict (names to tensors)", got, do)
    return inner


def fill(module: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Put weights into a network; names that differ by what a wrapper puts before all of them are the same names.

    Raises BadInput, which names the first that are missing, too many or of another shape.
    """
    try:
        module.load_state_dict(_matching(tensors, list(module.state_dict())))
    except (RuntimeError, AttributeError, TypeError) as reason:
        detail = " ".join(str(reason).split())[:300]
        do = "Check the network and its sizes, and that these are its weights."
        raise BadInput(str(path), "weights must fit the network", detail, do) from reason


def _why(reason: Exception) -> tuple[str, str]:
    """What torch says of a file it does not read, in a few plain words, and what to do."""
    text = ESCAPE.sub("", str(reason))
    if "weights_only" in text or "Weights only load failed" in text:
        kind = re.search(r"(?:Unsupported global: GLOBAL|Can only build Tensor[^,]*,) ([\w.]+)", text)
        got = f"a pickled object ({kind[1]})" if kind else "a pickled object"
        return got, "Such a file can run code. Save the weights alone: torch.save(net.state_dict(), path)."
    return (text.splitlines() or [type(reason).__name__])[0][:120].rstrip("."), "Save the weights again."


def _state_dict(found: Any, depth: int = 2) -> dict[str, Tensor] | None:
    """The names and tensors of a checkpoint, perhaps one or two levels down; None without any."""
    if not isinstance(found, Mapping) or not found or not all(isinstance(key, str) for key in found):
        return None
    if all(isinstance(value, Tensor) for value in found.values()):
        return dict(found)
    inner = [found[key] for key in INSIDE if isinstance(found.get(key), Mapping)] if depth else []
    states = (_state_dict(value, depth - 1) for value in inner)
    return next((state for state in states if state is not None), None)


def _matching(tensors: Mapping[str, Tensor], own: list[str]) -> Mapping[str, Tensor]:
    """The tensors under the network's own names, where one prefix before all of them is all that differs."""
    wanted = set(own)
    if not tensors or set(tensors) == wanted:
        return tensors
    one = next(iter(tensors))
    longer = {name.removesuffix(one) for name in own if name.endswith(f".{one}")}
    for prefix in sorted(longer, key=len):
        if {prefix + name for name in tensors} == wanted:
            return {prefix + name: tensor for name, tensor in tensors.items()}
    shorter = {one.removesuffix(name) for name in own if one.endswith(f".{name}")}
    for prefix in sorted(shorter, key=len):
        if all(name.startswith(prefix) for name in tensors) and {name[len(prefix) :] for name in tensors} == wanted:
            return {name[len(prefix) :]: tensor for name, tensor in tensors.items()}
    return tensors
