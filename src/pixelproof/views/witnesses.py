"""Pictures behind the alarm rule: images of each case with their nearest training images, and near-duplicates."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from pixelproof.results import catalogue
from pixelproof.run import Run

SHOWN = 50  # pairs of near-duplicates


@dataclass(frozen=True, eq=False)
class Witness:
    """One image of one case, its nearest training images in the composed layer, and everything in words."""

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


def witnesses(run: Run) -> list[Witness]:
    """The kept images of each of the four cases, and of those on which the layers disagree."""
    if not catalogue.CASES.has(run):
        return []
    kept = catalogue.CASES.load(run)
    classes = catalogue.CLEAN.load(run).classes
    return [
        Witness(
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


def duplicates(run: Run) -> dict[str, Any] | None:
    """Near-duplicates among the indexed training images and what leaving them out changes; None where not asked for.

    `pairs` holds at most the `SHOWN` nearest ones.
    """
    if not catalogue.DUPLICATES.has(run):
        return None
    found = catalogue.DUPLICATES.load(run)
    rows = zip(found.layers, found.k, found.with_them, found.without, found.change, strict=True)
    return {
        "limit": found.limit,
        "images": found.images,
        "pairs_n": len(found.first),
        "same_n": int(found.same.sum()),
        "left_out": len(found.left_out),
        "attack": found.attack,
        "pairs": [
            {"first": int(one), "second": int(other), "distance": float(apart), "same": bool(same)}
            for one, other, apart, same in zip(
                found.first[:SHOWN], found.second[:SHOWN], found.distance[:SHOWN], found.same[:SHOWN], strict=True
            )
        ],
        "layers": [
            {"layer": layer, "k": k, "with": before, "without": after, "change": dataclasses.asdict(change)}
            for layer, k, before, after, change in rows
        ],
    }
