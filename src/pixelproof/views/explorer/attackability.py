"""Where one changed pixel fools the classifier: the run's own survey of a clean image."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pixelproof.results import CertificateRecord, PixelSurvey, catalogue
from pixelproof.views.answer import Answer, Lacking
from pixelproof.views.open_run import OpenRun

ABSENT = Lacking("attackability", "This image's pixels were not searched.", "Add [pixels] to the study.")


class Attackability(Answer):
    """At which pixels some colour fools the classifier: the complete one-pixel map of a clean image."""

    available: Literal[True] = True
    vulnerable: tuple[int, ...] = Field(description="Positions row * width + column.")
    targets: tuple[int, ...] = Field(description="Wrong classes that some one-pixel change reaches.")
    candidates: int = Field(description="One-pixel changes that were judged: every pixel in every corner colour.")
    certificate: str | None = Field(description="What is proven about colours that were not tried; null if nothing.")
    note: str = Field(description="How they were judged and what the map does not prove.")


def survey(opened: OpenRun) -> PixelSurvey | None:
    """The run's survey; None where its study has no [pixels]."""
    return catalogue.SURVEY.load(opened.run) if catalogue.SURVEY.has(opened.run) else None


def surveyed(opened: OpenRun, index: int) -> int | None:
    """The row of an image in the survey, by its position in the test file."""
    found = opened.kept(survey)
    rows = [] if found is None else (found.index == index).nonzero()[:, 0].tolist()
    return rows[0] if rows else None


def attackability(opened: OpenRun, example: str) -> Attackability:
    """Vulnerable pixels and reachable classes of an example's clean image; Lacking where it was not searched."""
    shown, row = opened.find(example)
    found = opened.kept(survey)
    place = surveyed(opened, int(shown.index[row]))
    if found is None or place is None:
        raise ABSENT
    return Attackability(
        vulnerable=tuple(found.vulnerable[place].flatten().nonzero()[:, 0].tolist()),
        targets=tuple(found.targets[place].nonzero()[:, 0].tolist()),
        candidates=int(found.candidates[place]),
        certificate=certified(opened, int(shown.index[row])),
        note=f"Every pixel in every corner colour ({int(found.candidates[place])} candidates); {found.note}. "
        "The map tried no other colours: a pixel that is not marked is not proven safe by it.",
    )


def certificates(opened: OpenRun) -> CertificateRecord | None:
    """The run's one-pixel certificates; None where its study asked for none."""
    return catalogue.CERTIFICATE.load(opened.run) if catalogue.CERTIFICATE.has(opened.run) else None


def certified(opened: OpenRun, index: int) -> str | None:
    """The certificate's verdict on an image, in one sentence; None where it was not made."""
    found = opened.kept(certificates)
    rows = [] if found is None else (found.index == index).nonzero()[:, 0].tolist()
    if found is None or not rows:
        return None
    proof, row = found.certificate, rows[0]
    if proof.certified[row]:
        return "Proven by the certificate: no single pixel, in any colour, fools the classifier."
    if proof.attacked[row]:
        y, x = divmod(int(proof.position[row]), proof.open.shape[2])
        return f"Refuted by the certificate: the pixel in row {y}, column {x} fools the classifier."
    pixels = int(proof.open[row].sum())
    return f"Undecided by the certificate within {found.budget:g} CPU seconds: {pixels} pixels have no verdict."
