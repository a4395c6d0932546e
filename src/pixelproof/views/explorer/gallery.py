"""The gallery: every example with whole images as columns, to be filtered and sorted in the browser."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from pixelproof.views import paths
from pixelproof.views.answer import Answer, Atlas
from pixelproof.views.example_sets import Shown
from pixelproof.views.explorer.pictures import atlas
from pixelproof.views.explorer.scored import CASES, scored_detectors
from pixelproof.views.open_run import OpenRun

DIGITS = 6


class ExampleSet(Answer):
    """Examples that one attack made at one budget; `attack` is null for the clean images."""

    id: str = Field(description="Example ids are '{set id}~{index}', index being the image's place in the test file.")
    label: str = Field(description="Attack and budget, for the reader.")
    source: str = Field(description="clean, attacks, signatures, guards or pixels: the study's section it comes from.")
    attack: str | None = Field(description="As the study names it.")
    family: str | None = Field(description="The attack without its settings.")
    control: bool = Field(description="Whether this is noise, to compare attacks with.")
    spec: str = Field(description="The attack with the settings that ran; empty for the clean images.")
    norm: str | None = Field(description="Of the budget: linf, l2, l1 or l0.")
    eps: float | None = Field(
        description="The budget in that norm; null for an attack that looks for the smallest perturbation."
    )
    seed: int | None = Field(description="That the attack's random numbers were drawn with.")
    kept: int = Field(description="Examples with whole images: these are in the gallery.")
    attacked: int = Field(description="All images the attack was run on; figures left standing count these.")


class GalleryDetector(Answer):
    """A detector whose word on the rows can be asked for: GET .../gallery/{id} is its DetectorColumn."""

    id: str = Field(description="The place in its column's address.")
    name: str = Field(description="As the detector table and the page name it.")
    source: str = Field(description="layer (one layer's neighbours) or detector (a row of the detector table).")
    layer: str | None = Field(description="The layer whose neighbours it counts; null for a detector of the table.")
    rule: str = Field(description="tuned (the paper's, on one attack) or calibrated (clean images only).")
    about: str = Field(description="The rule or what its threshold rests on, in one sentence.")


class Gallery(Answer):
    """All examples, one row each, by column."""

    run: str = Field(description="Its name in the list of runs.")
    n: int = Field(description="Rows: every column has as many entries.")
    sets: tuple[ExampleSet, ...] = Field(description="The clean images first, then by section, in the study's order.")
    cases: tuple[str, ...] = Field(description="The cases in words: what happened and what the detector said.")
    atlas: Atlas = Field(description="Tile i shows row i: the adversarial image, or the clean one of a clean row.")
    set: tuple[int, ...] = Field(description="Positions in sets.")
    index: tuple[int, ...] = Field(description="The clean image's place in the test file.")
    label: tuple[int, ...] = Field(description="True class.")
    predicted: tuple[int, ...] = Field(description="Class the classifier gives to the row's image.")
    clean: tuple[int, ...] = Field(description="Class it gives to the clean image.")
    success: tuple[bool, ...] = Field(description="The attack succeeded; always false for clean rows.")
    success_8bit: tuple[bool, ...] = Field(description="It still does after rounding to 8 bits.")
    margin: tuple[float | None, ...] = Field(description="Logit of the true class minus the highest other.")
    distance: dict[str, tuple[float | None, ...]] = Field(description="By norm; null for clean rows and failures.")
    detectors: tuple[GalleryDetector, ...] = Field(description="Those whose columns can be asked for.")


def gallery(opened: OpenRun) -> Gallery:
    """Columns over all examples of a run, the clean images first, then set by set, and the detectors to ask."""
    sets = opened.sets
    rows = sum(len(each) for each in sets)
    return Gallery(
        run=opened.name,
        n=rows,
        sets=tuple(example_set(each) for each in sets),
        cases=CASES,
        atlas=atlas(opened.shape, rows, paths.at(paths.ATLAS, run=opened.name)),
        set=tuple(place for place, each in enumerate(sets) for _ in range(len(each))),
        index=_joined([each.index for each in sets]),
        label=_joined([each.labels for each in sets]),
        predicted=_joined([each.predicted for each in sets]),
        clean=_joined([each.clean_predicted for each in sets]),
        success=_joined([each.success for each in sets]),
        success_8bit=_joined([each.success_8bit for each in sets]),
        margin=tuple(value for each in sets for value in _numbers(each.margin, len(each))),
        distance={norm: tuple(value for each in sets for value in _distance(each, norm)) for norm in _norms(sets)},
        detectors=tuple(
            GalleryDetector(
                id=each.id, name=each.name, source=each.source, layer=each.layer, rule=each.rule, about=each.about
            )
            for each in opened.kept(scored_detectors)
        ),
    )


def example_set(each: Shown) -> ExampleSet:
    """What the reader is told about a set."""
    return ExampleSet(
        id=each.id,
        label=each.label,
        source=each.source,
        attack=each.attack,
        family=each.family,
        control=each.control,
        spec=each.spec,
        norm=each.norm,
        eps=each.eps,
        seed=each.seed,
        kept=len(each),
        attacked=each.attacked,
    )


def _joined(columns: list[Tensor]) -> tuple[Any, ...]:
    return tuple(torch.cat(columns).tolist()) if columns else ()


def _numbers(values: Tensor | None, n: int) -> list[float | None]:
    return [None] * n if values is None else [round(value, DIGITS) for value in values.tolist()]


def _norms(sets: tuple[Shown, ...]) -> list[str]:
    return list(dict.fromkeys(norm for each in sets for norm in each.distance))


def _distance(each: Shown, norm: str) -> list[float | None]:
    """Distances of the successful attacks; null for the others, whose distance says nothing."""
    values = _numbers(each.distance.get(norm), len(each))
    return [value if hit else None for value, hit in zip(values, each.success.tolist(), strict=True)]
