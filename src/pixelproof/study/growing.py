"""Whether a run can go on with a study that grew: all of its results must be results of the new study, too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pixelproof.errors import PixelproofError
from pixelproof.study.defence_section import DefenceRow, DefenceSection
from pixelproof.study.spec import Study, parse

FREE = {"nets": (), "rows": (), "sizes": {}, "seeds": 1}  # what may grow; everything else of [defences] must stay


def grows(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Whether spec `after` is `before` with networks, rows or seeds added to [defences], and otherwise the same.

    Such a study computes every result of the first one in the same way: a row is trained and judged by network, row
    and seed, and eps and the search are those of networks that stay where they are.
    """
    try:
        old, new = parse(dict(before)), parse(dict(after))
    except PixelproofError:
        return False
    return _alike(old, new) and (old == new or _added(old.defences, new.defences))


def _alike(old: Study, new: Study) -> bool:
    """Whether nothing differs outside of what may grow."""
    first, second = (
        study.model_copy(update={"defences": study.defences and study.defences.model_copy(update=FREE)})
        for study in (old, new)
    )
    return first == second


def _added(old: DefenceSection | None, new: DefenceSection | None) -> bool:
    """Whether each network of the old section still has its number of images and all of its rows."""
    if old is None or new is None or new.seeds < old.seeds:
        return False
    if new.nets[: len(old.nets)] != old.nets or new.rows[0] != old.rows[0]:
        return False
    return all(new.size(net) == old.size(net) and _of(old, net) <= _of(new, net) for net in old.nets)


def _of(section: DefenceSection, net: str) -> set[DefenceRow]:
    """The rows of a network, whichever other networks have them."""
    return {row.model_copy(update={"nets": ()}) for row in section.own(net)}
