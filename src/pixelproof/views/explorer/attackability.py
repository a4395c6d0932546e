"""Where one changed pixel fools the classifier: the run's own survey of a clean image."""

from __future__ import annotations

from typing import Any

from pixelproof.measure import PixelSurvey
from pixelproof.measure.pixels import SURVEY
from pixelproof.views.explorer.missing import Lacking
from pixelproof.views.explorer.shelf import Shelf

ABSENT = Lacking("attackability", "This image's pixels were not searched.", "Add [pixels] to the study.")


def survey(shelf: Shelf) -> PixelSurvey | None:
    """The run's survey; None where its study has no [pixels]."""
    return shelf.run.load(SURVEY, PixelSurvey) if shelf.run.has(SURVEY) else None


def surveyed(shelf: Shelf, index: int) -> int | None:
    """The row of an image in the survey, by its position in the test file."""
    found = shelf.kept(survey)
    rows = [] if found is None else (found.index == index).nonzero()[:, 0].tolist()
    return rows[0] if rows else None


def attackability(shelf: Shelf, example: str) -> dict[str, Any]:
    """Vulnerable pixels and reachable classes of an example's clean image; Lacking where it was not searched."""
    shown, row = shelf.find(example)
    found = shelf.kept(survey)
    place = surveyed(shelf, int(shown.index[row]))
    if found is None or place is None:
        raise ABSENT
    return {
        "vulnerable": found.vulnerable[place].flatten().nonzero()[:, 0].tolist(),
        "targets": found.targets[place].nonzero()[:, 0].tolist(),
        "candidates": int(found.candidates[place]),
        "certificate": None,
        "note": f"Every pixel in every corner colour ({int(found.candidates[place])} candidates); {found.note}. "
        "Other colours were not tried: a pixel that is not marked is not proven safe.",
    }
