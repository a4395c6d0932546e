"""Whether a run can go on with a study that grew: all of its results must be results of the new study, too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pixelproof.errors import PixelproofError, RunError
from pixelproof.results import catalogue
from pixelproof.run import Run, slug
from pixelproof.study.defence_section import DefenceRow, DefenceSection
from pixelproof.study.hardening import place
from pixelproof.study.spec import Study, parse

FREE = {"nets": (), "rows": (), "sizes": {}, "seeds": 1}  # what may grow; everything else of [defences] must stay
FOLDER = catalogue.SEARCH.pattern.partition("/")[0] + "/"  # where the results of [defences] lie
ROW_KINDS = (catalogue.HARDENED_MODEL, catalogue.HARDENED_HISTORY, catalogue.HARDENED)


def taken_up(run: Run, after: Mapping[str, Any]) -> bool:
    """Whether a run may go on with spec `after`: its own grew into it, and nothing else lies among the results.

    What the run's study has no job for was made by nobody knows which settings; RunError names the first such file.
    """
    if not grows(run.spec, after):
        return False
    section = parse(dict(run.spec)).defences
    made = _made(section) if section else frozenset()
    strange = [name for name in run.names(FOLDER) if name not in made]
    if strange:
        raise RunError(
            str(run.path(strange[0])),
            "must be a result of the run's own study before the study may grow",
            "one that it has no job for",
            "Remove it, or choose another folder.",
        )
    return True


def grows(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Whether spec `after` is `before` with networks, rows or seeds added to [defences], and otherwise the same.

    Such a study computes every result of the first one in the same way: a row is trained and judged by network, row
    and seed, and eps and the search are those of networks that stay where they are.
    """
    try:
        # A paper's figures are printed beside results and change none of them.
        old, new = (parse(dict(spec)).model_copy(update={"paper": ()}) for spec in (before, after))
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


def _made(section: DefenceSection) -> frozenset[str]:
    """The names of all results that a section can have, those of audits as an older version kept them included."""
    found = {catalogue.SEARCH.name()} if section.search else set()
    for net in section.nets:
        found.add(catalogue.BUDGETS.name(net=net))
        for row in section.own(net):
            if row.searched and net != section.nets[0]:
                continue
            for seed in range(section.seeds):
                found |= {kind.name(**place(net, row, seed)) for kind in ROW_KINDS}
            for on in row.sides if section.audit else ():
                name = catalogue.audits(mask_on=on).name(net=net, row=row.name)
                found |= {name, name.replace(f"/{slug(net)}/", "/", 1)}
    return frozenset(found)


def _of(section: DefenceSection, net: str) -> set[DefenceRow]:
    """The rows of a network, whichever other networks have them."""
    return {row.model_copy(update={"nets": ()}) for row in section.own(net)}
