"""Tables of activations on disk: every file appears under its name whole or not at all, and says whose it is."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pixelproof.atomic import replacing
from pixelproof.errors import BadInput, CorruptFile
from pixelproof.models import Classifier
from pixelproof.tensorfile import Fault, opened, write_tensors

ANEW = "Delete its folder; it is built again."


def mapped(path: Path, parts: Iterable[Float[Tensor, "n d"]], rows: int, dimension: int) -> Float[Tensor, "rows d"]:
    """Rows too many for memory, written part by part to a file and read from it on demand (float32, .npy).

    The file appears under its name when all `rows` are in it; raises BadInput when there are fewer or more.
    """
    with replacing(path) as part:
        table = np.lib.format.open_memmap(part, mode="w+", dtype=np.float32, shape=(rows, dimension))
        done = 0
        for block in parts:
            if done + len(block) > rows:
                raise BadInput("index", f"expected {rows} rows", f"more than {done}")
            table[done : done + len(block)] = block.detach().cpu().float().numpy()
            done += len(block)
        if done < rows:
            raise BadInput("index", f"expected {rows} rows", done)
        table.flush()
    return torch.from_numpy(np.load(path, mmap_mode="r+"))


def write(path: Path, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
    """A file of tensors with facts in its header, whole or not at all; the facts hold the model's digest."""
    write_tensors(path, tensors, {"facts": json.dumps(facts)})


def accepted(path: Path, model: Classifier) -> str:
    """The digest that a file must bear to be this model's, as the build that wrote it would have spelled it."""
    try:
        with opened(path) as file:
            built = str(json.loads(file.notes["facts"])["digest"])
    except Fault:
        return model.digest()  # the reader that follows says what is wrong with the file
    return built if model.recognises(built) else model.digest()


def read(path: Path, digest: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and facts of a file that `write` wrote for the model with this digest."""
    try:
        with opened(path) as file:
            facts: dict[str, Any] = json.loads(file.notes["facts"])
            tensors = file.tensors()
            built = str(facts["digest"])
    except FileNotFoundError as reason:
        raise CorruptFile(str(path.parent), "expected a whole folder", f"no {path.name}", ANEW) from reason
    except Fault as reason:
        raise CorruptFile(str(path), "expected an index", reason, ANEW) from reason
    if built != digest:
        expected = f"expected the index of the model with digest {digest}"
        raise BadInput("index", expected, f"one built for {built}", "Build it again for this model.")
    return tensors, facts
