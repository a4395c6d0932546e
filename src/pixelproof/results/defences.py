"""What a study keeps of hardened models: cost, predictions, and what held under which attack, image by image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float, Int
from torch import Tensor

from pixelproof.models import History


@dataclass(frozen=True, eq=False)
class HardenedRecord:
    """One network trained with one row of defences from one seed.

    `cpu_seconds` is what its training cost. `predicted` are the classes of all clean test images, their labels are
    `labels`. `held` says for each attack, named as in `COLUMNS`, how often each image of the sample `rows` (positions
    in the test set) was still classified correctly: 0 or 1, or for a random model the share of its draws. Names that
    begin with "on:" are with the mask on at test. `certified` is the share of the sample proven at `eps`.
    """

    net: str
    row: str
    seed: int
    defences: tuple[str, ...]
    eps: float
    cpu_seconds: float
    history: History
    parameters: int
    size_bytes: int
    seconds_per_image: float
    features: int
    labels: Int[Tensor, " n"]
    predicted: Int[Tensor, " n"]
    rows: Int[Tensor, " m"]
    held: dict[str, Float[Tensor, " m"]]
    certified: float | None = None

    COLUMNS: ClassVar[tuple[str, ...]] = ("clean", "fgsm", "pgd", "auto")
    MASKED: ClassVar[tuple[str, ...]] = ("on:clean", "on:naive fgsm", "on:fgsm + eot", "on:pgd + eot")


@dataclass(frozen=True, eq=False)
class BudgetRecord:
    """The eps at which FGSM leaves a network `accuracy` of `n` validation images, found by bisection; and every try."""

    net: str
    wanted: float
    eps: float
    accuracy: float
    n: int
    tried: tuple[float, ...]
    reached: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class SearchRecord:
    """Settings tried at random, each judged on validation images only: clean, under `attack`, and the utility of both.

    `attack` names it without its budget, which is `eps`; in runs from before it was kept it was the default.
    """

    net: str
    eps: float
    n: int
    specs: tuple[str, ...]
    trainings: tuple[str, ...]
    clean: Float[Tensor, " t"]
    robust: Float[Tensor, " t"]
    utility: Float[Tensor, " t"]
    cpu_seconds: Float[Tensor, " t"]
    attack: str = "pgd:steps=20"


@dataclass(frozen=True)
class AuditRecord:
    """What the audit said of one row: its sentence, whether it may be believed, and the flags that were raised.

    `mask_on`: of the classifier with the row's mask on at test, and not of the one that was trained.
    """

    net: str
    row: str
    n: int
    eps: float
    verdict: str
    believable: bool
    raised: tuple[str, ...]
    mask_on: bool = False
