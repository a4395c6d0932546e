"""Random numbers that belong to an image, not to a batch.

An attack that draws its start from one generator gives other results when the batch size or the order changes.
Here every image owns a stream, keyed by the seed and by the image's position in its original file, and every draw
is made on the CPU, so the same seed gives the same numbers at any batch size, in any order and on any device.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from operator import index
from typing import SupportsIndex, TypeAlias

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pixelproof.errors import BadInput

Rng: TypeAlias = "torch.Generator | Draws"

SEEDS = 2**63  # how many seeds there are: what --seed accepts, and all that every generator takes
_GLOBAL = threading.RLock()


def check_seed(seed: SupportsIndex) -> int:
    """`seed` itself; BadInput for one that is not a whole number from 0 to 2**63 - 1."""
    if isinstance(seed, bool) or not isinstance(seed, SupportsIndex) or not 0 <= index(seed) < SEEDS:
        raise BadInput("seed", "must be a whole number from 0 to 2**63 - 1", seed, "Take it modulo 2**63.")
    return index(seed)


def rng_of(seed: int) -> torch.Generator:
    """A generator of torch's on the CPU that draws from `seed`."""
    return torch.Generator().manual_seed(check_seed(seed))


def numpy_rng(seed: int, kind: type[np.random.BitGenerator] = np.random.PCG64) -> np.random.Generator:
    """A generator of numpy's that draws from `seed`."""
    return np.random.Generator(kind(check_seed(seed)))


@contextmanager
def seeded(seed: int | None, devices: Sequence[torch.device] | None = ()) -> Iterator[None]:
    """Inside, torch's own generators draw from `seed` (None: from where they stand); afterwards they are as they were.

    `devices` are the GPUs whose generators count, None all of them. There is one such generator per process: threads
    wait for each other here.
    """
    with _GLOBAL, torch.random.fork_rng(devices=devices):
        if seed is not None:
            torch.manual_seed(check_seed(seed))
        yield


def subseed(seed: int, part: int, parts: int = 1000) -> int:
    """The seed of one part of a whole that was given `seed`: one of `parts` in a row, wrapped to stay below 2**63.

    Every seed that a user may give (0 to 2**63 - 1) has its parts, and parts of neighbouring seeds do not meet.
    """
    return (parts * seed + part) % SEEDS


class Draws:
    """One independent random stream per image."""

    def __init__(self, streams: Sequence[np.random.Generator]) -> None:
        self._streams = list(streams)

    @classmethod
    def keyed(cls, seed: int, index: Tensor) -> Draws:
        """Streams for the images at positions `index` of their original file; BadInput as `check_seed`."""
        seed = check_seed(seed)
        return cls([np.random.Generator(np.random.Philox(key=[seed, position])) for position in index.tolist()])

    @classmethod
    def of(cls, rng: Rng, n: int) -> Draws:
        """`rng` itself when it already holds one stream per image, else `n` streams seeded from the generator."""
        if isinstance(rng, Draws):
            return rng
        seeds = torch.randint(2**62, (n,), generator=rng, dtype=torch.int64)
        return cls.keyed(0, seeds)

    def __len__(self) -> int:
        return len(self._streams)

    def __getitem__(self, rows: Tensor) -> Draws:
        """The streams of some rows (positions or a mask); they go on where they stopped."""
        positions = rows.nonzero()[:, 0] if rows.dtype == torch.bool else rows
        return Draws([self._streams[row] for row in positions.tolist()])

    def uniform(self, *shape: int) -> Float[Tensor, "n ..."]:
        """Numbers in [0, 1), one block of `shape` per image."""
        return self._stack([stream.random(shape, dtype=np.float32) for stream in self._streams], shape)

    def normal(self, *shape: int) -> Float[Tensor, "n ..."]:
        """Standard normal numbers, one block of `shape` per image."""
        return self._stack([stream.standard_normal(shape, dtype=np.float32) for stream in self._streams], shape)

    def _stack(self, blocks: list[np.ndarray[tuple[int, ...], np.dtype[np.float32]]], shape: tuple[int, ...]) -> Tensor:
        return torch.from_numpy(np.stack(blocks)) if blocks else torch.empty(0, *shape)
