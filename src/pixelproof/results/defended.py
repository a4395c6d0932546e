"""What `pixelproof defend` keeps: how a model was hardened, and a first look at it before and after."""

from __future__ import annotations

from dataclasses import dataclass

from pixelproof.models import Training
from pixelproof.types import Rate


@dataclass(frozen=True)
class FirstLook:
    """Accuracy on all images of a sample: clean, under FGSM and under PGD. No proof, and no strong evaluation."""

    clean: Rate
    fgsm: Rate
    pgd: Rate


@dataclass(frozen=True, eq=False)
class DefendedRecord:
    """A model hardened by `defences`, all in one training, from the model with the digest `parent`.

    `training` is None where nothing was trained, `stopped` says why one ended early. `certified`: the share of the
    sample of `n` images proven at linf `eps` by interval bounds, None where none are asked for.
    """

    network: str
    defences: tuple[str, ...]
    parent: str
    cpu_seconds: float
    stochastic: bool
    training: Training | None
    stopped: str
    data: str
    classes: tuple[str, ...]
    n: int
    eps: float
    seed: int
    certified: Rate | None
    before: FirstLook
    after: FirstLook
