"""Near-duplicates among the training images, and what leaving them out of the index changes."""

from __future__ import annotations

import dataclasses
from typing import Any

from pixelproof.results import catalogue
from pixelproof.run import Run

SHOWN = 50  # pairs of near-duplicates


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
