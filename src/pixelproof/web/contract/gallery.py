"""The gallery: every example of a run as columns, to be filtered and sorted in the browser."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pixelproof.web.contract.common import Answer, Atlas


class ExampleSet(Answer):
    """Examples that one attack made at one budget; `attack` is null for the clean images."""

    id: str = Field(description="Example ids are '{set id}~{index}', index being the image's place in the test file.")
    label: str
    source: str = Field(description="clean, attacks, signatures, guards or pixels: the study's section it comes from.")
    attack: str | None
    family: str | None
    control: bool
    spec: str
    norm: str | None
    eps: float | None
    seed: int | None
    kept: int = Field(description="Examples with whole images: these are in the gallery.")
    attacked: int = Field(description="All images the attack was run on; the robustness figures count these.")


class GalleryDetector(Answer):
    """A detector whose word on the rows can be asked for: GET .../gallery/{id} is its DetectorColumn."""

    id: str
    name: str
    source: str = Field(description="layer (one layer's neighbours) or detector (a row of the detector table).")
    layer: str | None
    rule: str = Field(description="tuned (the paper's, on one attack) or calibrated (clean images only).")
    about: str


class Gallery(Answer):
    """All examples, one row each, by column."""

    run: str
    n: int
    sets: tuple[ExampleSet, ...]
    cases: tuple[str, ...] = Field(description="The cases in words: what happened and what the detector said.")
    atlas: Atlas = Field(description="Tile i shows row i: the adversarial image, or the clean one of a clean row.")
    set: tuple[int, ...] = Field(description="Positions in sets.")
    index: tuple[int, ...]
    label: tuple[int, ...] = Field(description="True class.")
    predicted: tuple[int, ...] = Field(description="Class the classifier gives to the row's image.")
    clean: tuple[int, ...] = Field(description="Class it gives to the clean image.")
    success: tuple[bool, ...] = Field(description="The attack succeeded; always false for clean rows.")
    success_8bit: tuple[bool, ...] = Field(description="It still does after rounding to 8 bits.")
    margin: tuple[float | None, ...] = Field(description="Logit of the true class minus the highest other.")
    distance: dict[str, tuple[float | None, ...]] = Field(description="By norm; null for clean rows and failures.")
    detectors: tuple[GalleryDetector, ...]


class DetectorColumn(Answer):
    """One detector's word on every row of the gallery; score and alarm are null where it was not asked."""

    available: Literal[True] = True
    id: str
    name: str
    threshold: float = Field(description="An alarm is a score above it.")
    rate: float | None = Field(description="The false-alarm rate the threshold was set for; null for the tuned rule.")
    score: tuple[float | None, ...]
    alarm: tuple[bool | None, ...]
    case: tuple[int, ...] = Field(description="Positions in Gallery.cases.")
