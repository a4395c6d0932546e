"""Pictures behind the alarm rule: images of each of its cases with their nearest training images."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from pixelproof.results import catalogue
from pixelproof.run import Run


@dataclass(frozen=True, eq=False)
class CaseImage:
    """One image (c, h, w) of one case, its nearest training images in the composed layer, and everything in words.

    `index` is its position in the original test file, `named` the class that its neighbours name instead of the
    predicted one ("" where they name none), `strangers` how many of its `k` neighbours are not of the predicted class,
    `alarms` the layers that alarm; `neighbours` are images and their classes, nearest first.
    """

    case: str
    image: Tensor
    index: int
    label: str
    predicted: str
    named: str
    strangers: int
    k: int
    alarms: tuple[str, ...]
    neighbours: tuple[tuple[Tensor, str], ...]


def case_images(run: Run) -> list[CaseImage]:
    """The kept images of each of the four cases, and of those on which the layers disagree."""
    if not catalogue.CASES.has(run):
        return []
    kept = catalogue.CASES.load(run)
    classes = catalogue.CLEAN.load(run).classes
    return [
        CaseImage(
            case=case,
            image=kept.images[row],
            index=int(kept.index[row]),
            label=classes[int(kept.labels[row])],
            predicted=classes[int(kept.predicted[row])],
            named="" if kept.recovered[row] < 0 else classes[int(kept.recovered[row])],
            strangers=int(kept.strangers[row]),
            k=kept.k,
            alarms=tuple(layer for layer, on in zip(kept.layers, kept.alarm[row].tolist(), strict=True) if on),
            neighbours=tuple(
                (picture, classes[label])
                for picture, label in zip(kept.pictures[row], kept.neighbour_labels[row].tolist(), strict=True)
            ),
        )
        for row, case in enumerate(kept.case)
    ]
