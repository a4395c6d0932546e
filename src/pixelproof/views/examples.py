"""A few images of every attack, clean beside adversarial."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from pixelproof.results import catalogue
from pixelproof.run import Run
from pixelproof.views.attacks import records


@dataclass(frozen=True, eq=False)
class Example:
    """One clean image (c, h, w) and its adversarial twin, with the class names before and after."""

    attack: str
    eps: float | None
    index: int
    label: str
    predicted: str
    success: bool
    linf: float
    clean: Tensor
    image: Tensor


def examples(run: Run, *, attack: str, eps: float, limit: int) -> list[Example]:
    """The first `limit` of the images kept for an attack and budget: a stratified sample, successes or not."""
    names = catalogue.CLEAN.load(run).classes
    found = []
    for record in records(run):
        if record.label != attack or record.eps != eps:
            continue
        for position, row in enumerate(record.shown.tolist()[:limit]):
            found.append(
                Example(
                    attack=attack,
                    eps=record.eps,
                    index=int(record.index[row]),
                    label=names[int(record.labels[row])],
                    predicted=names[int(record.predicted[row])],
                    success=bool(record.success[row]),
                    linf=float(record.distance["linf"][row]),
                    clean=record.clean[position],
                    image=record.images[position],
                )
            )
    return found
