"""DeepSHAP of both images of an example, and the critical pixels: the run's own, or computed now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from pydantic import Field
from torch import Tensor

from pixelproof.explain import Attribution, DeepShap, critical_pixels
from pixelproof.explain.critical import Sense
from pixelproof.results import catalogue
from pixelproof.views import paths
from pixelproof.views.answer import Answer, Missing, Numbers
from pixelproof.views.example_sets import CLEAN, Shown
from pixelproof.views.explorer.pictures import pixels
from pixelproof.views.open_run import OpenRun

BACKGROUND = 10
SHARE = 0.06  # of the pixels are called critical where the study does not say how many


class CriticalPositions(Answer):
    """Critical pixels in one of paper 1's senses: positions row * width + column, most critical first."""

    sense: Sense = Field(description="generation: the attacked image's explanation is large; detection: it changed.")
    positions: tuple[int, ...] = Field(description="Most critical first.")


class Attributions(Answer):
    """DeepSHAP of both images for the class predicted for each; `values` is (2, c, h, w), or (1, ...) for clean rows.

    `gap` is the relative additivity gap: attributions with more than 0.001 do not add up.
    """

    available: Literal[True] = True
    method: str = Field(description="How the values were made.")
    classes: tuple[int, ...] = Field(description="The class explained for each image, clean first.")
    base: tuple[float, ...] = Field(
        description="Expected logit of that class over the backgrounds: where the values start from."
    )
    gap: tuple[float, ...] = Field(description="One for each image.")
    limit: float = Field(description="Largest |value|: the common, zero-centred scale of both maps.")
    values: Numbers = Field(description="One value per pixel and channel, in logits.")
    critical: tuple[CriticalPositions, ...] = Field(description="One per sense; empty for clean rows.")
    background: int = Field(description="Training images that stand for 'nothing there'.")
    stored: bool = Field(description="False when computed now, from the run's classifier and background images.")


@dataclass(frozen=True, eq=False)
class ExampleMaps:
    """The attribution of an example's images, clean first; `stored` tells the run's own from one made now."""

    maps: Attribution
    stored: bool


def attributions(opened: OpenRun, example: str) -> Attributions:
    """What DeepSHAP says of both images, each for the class predicted for it, and the critical pixels."""
    found = explained(opened, example)
    maps = found.maps
    return Attributions(
        method="DeepSHAP",
        classes=tuple(maps.classes.tolist()),
        base=tuple(maps.base.tolist()),
        gap=tuple(maps.gap.tolist()),
        limit=float(maps.values.abs().max()),
        values=_numbers(opened, example),
        critical=_critical(opened, maps),
        background=_settings(opened)[0],
        stored=found.stored,
    )


def values(opened: OpenRun, example: str) -> Tensor:
    """The maps (images, c, h, w)."""
    return explained(opened, example).maps.values


def attribution_of(opened: OpenRun, example: str) -> Numbers | Missing:
    """Where an example's maps are, or why there can be none."""
    shown, row = opened.find(example)
    if _stored(opened, shown, row) is None:
        absent = opened.lacks("model") or opened.lacks("training")
        if absent is not None:
            return absent
    return _numbers(opened, example)


def _numbers(opened: OpenRun, example: str) -> Numbers:
    images = 1 if opened.find(example)[0].attack is None else 2
    return Numbers(
        href=paths.at(paths.ATTRIBUTION_VALUES, run=opened.name, example=example), shape=(images, *opened.shape)
    )


def explained(opened: OpenRun, example: str) -> ExampleMaps:
    """The maps of an example; Lacking where neither the run has them nor the backgrounds are on this machine."""
    shown, row = opened.find(example)
    stored = _stored(opened, shown, row)
    if stored is not None:
        return ExampleMaps(stored, stored=True)
    images = pixels(opened, example)
    maps = opened.kept(_explainer)(opened.model, images, None, torch.Generator())
    return ExampleMaps(maps, stored=False)


def _explainer(opened: OpenRun) -> DeepShap:
    n, seed = _settings(opened)
    return DeepShap(opened.training.sample(n, seed).images)


def _settings(opened: OpenRun) -> tuple[int, int]:
    """How many background images, and the seed they are drawn with: the study's own."""
    section = opened.run.spec.get("signatures") or {}
    return section.get("background", BACKGROUND), opened.run.spec["seed"]


def _stored(opened: OpenRun, shown: Shown, row: int) -> Attribution | None:
    """The run's own maps, which it has for the images of [signatures]."""
    if shown.source != "signatures":
        return None
    names = [catalogue.MAPS.name(state=state) for state in (CLEAN, shown.id.rpartition("~")[2])]
    if not all(opened.run.has(name) for name in names):
        return None
    part = slice(row, row + 1)
    keys = ("values", "classes", "base", "gap")
    return Attribution(*(torch.cat([opened.run.tensor(name, key, part) for name in names]) for key in keys))


def _critical(opened: OpenRun, maps: Attribution) -> tuple[CriticalPositions, ...]:
    """Critical pixels in both senses; none for a clean image, whose explanation nothing moved."""
    if len(maps.values) < 2:
        return ()
    sizes = (opened.run.spec.get("signatures") or {}).get("k") or [max(1, round(SHARE * maps.values[0, 0].numel()))]
    k = min(sizes[len(sizes) // 2], maps.values[0, 0].numel())
    found = [critical_pixels(_one(maps, 0), _one(maps, 1), sense=sense, k=k) for sense in get_args(Sense)]
    return tuple(CriticalPositions(sense=each.sense, positions=tuple(each.per_image[0].tolist())) for each in found)


def _one(maps: Attribution, row: int) -> Attribution:
    part = slice(row, row + 1)
    return Attribution(maps.values[part], maps.classes[part], maps.base[part], maps.gap[part])
