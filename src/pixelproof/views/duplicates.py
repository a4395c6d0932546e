"""Near-duplicates among the training images, and what leaving them out of the index changes."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pixelproof.results import catalogue
from pixelproof.views.answer import Answer, Estimate, Lacking
from pixelproof.views.open_run import OpenRun

SHOWN = 50  # pairs of near-duplicates


class DuplicatePair(Answer):
    """Two training images that are almost the same."""

    first: int = Field(description="Position in the original training file.")
    second: int = Field(description="Position in the original training file.")
    distance: float = Field(description="Root mean square difference of their values, which lie between 0 and 1.")
    same: bool = Field(description="Whether they have the same label.")


class DuplicateEffect(Answer):
    """AUROC of one layer's rule with and without near-duplicates in the index, on the judging half."""

    layer: str = Field(description="A layer, or 'composed' for all of them joined.")
    k: int = Field(description="Neighbours looked at: the tuned k, for both.")
    with_them: float = Field(serialization_alias="with", description="AUROC with near-duplicates in the index.")
    without: float = Field(description="AUROC with one image of every group of near-duplicates left.")
    change: Estimate = Field(description="`without` minus `with`; its interval is that of the pairs.")


class DuplicateFindings(Answer):
    """Near-duplicates among the indexed training images, and what leaving them out changes."""

    available: Literal[True] = True
    limit: float = Field(description="Largest root mean square distance of two images that count as near-duplicates.")
    images: int = Field(description="Indexed training images.")
    pairs_n: int = Field(description="Pairs of near-duplicates among them.")
    same_n: int = Field(description="Those pairs that have the same label.")
    left_out: int = Field(description="Images left out of the index: all but one of every group.")
    attack: str = Field(description="The attack that the figures of the layers are of.")
    pairs: tuple[DuplicatePair, ...] = Field(description=f"The nearest pairs, {SHOWN} at most.")
    layers: tuple[DuplicateEffect, ...] = Field(description="In the network's order, then the composed one.")


def duplicates(opened: OpenRun) -> DuplicateFindings:
    """The nearest pairs and every layer's AUROC without them; Lacking where the study did not ask for it."""
    found = catalogue.DUPLICATES.find(opened.run)
    if found is None:
        raise Lacking("near-duplicates", "This run did not look for any.", "Add duplicates = 0.05 to [guards].")
    effects = zip(found.layers, found.k, found.with_them, found.without, found.change, strict=True)
    nearest = (part[:SHOWN].tolist() for part in (found.first, found.second, found.distance, found.same))
    return DuplicateFindings(
        limit=found.limit,
        images=found.images,
        pairs_n=len(found.first),
        same_n=int(found.same.sum()),
        left_out=len(found.left_out),
        attack=found.attack,
        pairs=tuple(
            DuplicatePair(first=first, second=second, distance=distance, same=same)
            for first, second, distance, same in zip(*nearest, strict=True)
        ),
        layers=tuple(
            DuplicateEffect(layer=layer, k=k, with_them=before, without=after, change=change)
            for layer, k, before, after, change in effects
        ),
    )
