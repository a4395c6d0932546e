"""What a paper prints that no share of ours stands beside: tests, areas, seconds; only where the study asks for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pixelproof import study
from pixelproof.views import OpenRun


@dataclass(frozen=True)
class Printed:
    """One entry of [[paper]] with measure "printed": the words as they stand in the paper, and the number in them.

    `row`: the row of [defences] that it is put beside.
    """

    text: str
    value: float
    row: str = ""


def printed(opened: OpenRun) -> Mapping[str, Printed]:
    """The entries of the run's study by what they are of; none in a study that asks for none.

    Older versions kept no such entries with a run. A run of a study that comes with pixelproof gets those of the study
    as it is now: that study asks for them, and no result depends on them.
    """
    own = [study.PaperFigure.model_validate(each) for each in opened.run.spec["paper"]]
    return _entries(own) or _entries(_of_bundled(opened.run.spec))


def _of_bundled(spec: Mapping[str, Any]) -> tuple[study.PaperFigure, ...]:
    """The figures of the bundled study that a spec is of, by its name and title."""
    if spec["name"] not in study.bundled():
        return ()
    found = study.load(spec["name"])
    return found.paper if found.title == spec["title"] else ()


def _entries(figures: Iterable[study.PaperFigure]) -> dict[str, Printed]:
    wanted = (each for each in figures if each.measure == "printed")
    return {each.what: Printed(each.text, each.values[0], each.row) for each in wanted}
