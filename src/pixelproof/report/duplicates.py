"""Near-duplicates among the indexed training images, and what leaving them out changes."""

from __future__ import annotations

from pixelproof import views
from pixelproof.report.page import Block, Fold, Prose, Table, cells, decimals, signed
from pixelproof.views import OpenRun
from pixelproof.views.answer import held
from pixelproof.views.duplicates import DuplicateFindings


def duplicates(opened: OpenRun) -> list[Block]:
    """Near-duplicates in the index, and the index without them; nothing where the study did not look for any."""
    found = held(lambda: views.duplicates(opened))
    if found is None:
        return []
    said = (
        f"{found.pairs_n} pairs among the {found.images} indexed training images lie within a root mean square "
        f"distance of {found.limit:g}, {found.same_n} of them with the same label. All but one image of every "
        f"group were left out of the index ({found.left_out} images)."
    )
    listed = [Fold("The pairs", (_pairs(found),))] if found.pairs else []
    return [Prose(said), _effect(found), *listed]


def _effect(found: DuplicateFindings) -> Table:
    rows = (
        cells(row.layer, row.k, decimals(row.with_them), decimals(row.without), signed(row.change), head=1)
        for row in found.layers
    )
    return Table(
        name="duplicates",
        caption=f"AUROC with and without near-duplicates, {found.attack}",
        columns=("layer", "k", "with", "without", "change [95\u00a0%]"),
        bodies=(tuple(rows),),
        note="Judging half; both indices at the tuned k. The change is paired over the images.",
    )


def _pairs(found: DuplicateFindings) -> Table:
    rows = (
        cells(row.first, row.second, f"{row.distance:.4f}", "same" if row.same else "different", head=2)
        for row in found.pairs
    )
    return Table(
        name="duplicate-pairs",
        caption=f"The {len(found.pairs)} nearest pairs, by position in the training file",
        columns=("image", "and image", "distance", "labels"),
        bodies=(tuple(rows),),
    )
