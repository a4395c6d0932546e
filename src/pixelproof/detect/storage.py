"""Tables of activations on disk: every file appears under its name whole or not at all, and says whose it is."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from jaxtyping import Float
from torch import Tensor

from pixelproof.errors import BadInput, CorruptFile, RunError


def mapped(path: Path, parts: Iterable[Float[Tensor, "n d"]], rows: int, dimension: int) -> Float[Tensor, "rows d"]:
    """Rows too many for memory, written part by part to a file and read from it on demand (float32, .npy).

    The file appears under its name when all `rows` are in it; raises BadInput when there are fewer or more.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    table = np.lib.format.open_memmap(part, mode="w+", dtype=np.float32, shape=(rows, dimension))
    done = 0
    try:
        for block in parts:
            if done + len(block) > rows:
                raise BadInput("index", f"expected {rows} rows", f"more than {done}")
            table[done : done + len(block)] = block.detach().cpu().float().numpy()
            done += len(block)
        if done < rows:
            raise BadInput("index", f"expected {rows} rows", done)
        table.flush()
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    return torch.from_numpy(np.load(path, mmap_mode="r+"))


def write(path: Path, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
    """A safetensors file with facts in its header, written under another name first."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        stored = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        safetensors.torch.save_file(stored, part, metadata={"facts": json.dumps(facts)})
        os.replace(part, path)
    except (OSError, safetensors.SafetensorError) as reason:
        part.unlink(missing_ok=True)
        raise RunError(str(path), "must be writable", reason, "Free some space or choose another folder.") from reason


def read(path: Path, digest: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and facts of a file that `write` wrote for the model with this digest."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            facts: dict[str, Any] = json.loads((file.metadata() or {})["facts"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            built = str(facts["digest"])
    except FileNotFoundError as reason:
        raise BadInput("index", "the file must exist", path) from reason
    except (safetensors.SafetensorError, KeyError, TypeError, ValueError) as reason:
        raise CorruptFile(str(path), "expected an index", reason, "Delete it; it is built again.") from reason
    if built != digest:
        expected = f"expected the index of the model with digest {digest}"
        raise BadInput("index", expected, f"one built for {built}", "Build it again for this model.")
    return tensors, facts
