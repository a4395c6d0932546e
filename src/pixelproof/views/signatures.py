"""Signatures: how well they add up, what pixels near and far from 0 do, and images with their maps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Bool
from pydantic import Field
from torch import Tensor

from pixelproof.explain import Attribution, critical_pixels
from pixelproof.explain.critical import CriticalPixels, Sense
from pixelproof.results import catalogue
from pixelproof.run import Run
from pixelproof.types import Rate
from pixelproof.views.answer import Answer, Estimate, Lacking
from pixelproof.views.open_run import OpenRun

LEAST_GAP = 1e-3  # relative additivity gap above which a map does not add up


class ProximityRow(Answer):
    """What setting k pixels of each image to the values of a background does, by how near 0 their SHAP values are.

    Intervals of means are normal approximations, that of the share is Wilson's and counts images.
    """

    group: str = Field(description="Which pixels are set, by how near 0 their SHAP values are; or random ones.")
    k: int = Field(description="Pixels of each image that are set.")
    n: int = Field(description="Clean images.")
    size: Estimate = Field(description="|change| of the explained logit, mean over images.")
    change: Estimate = Field(description="Its signed change, mean over images.")
    relabelled: Rate = Field(description="Images whose predicted class changes, counted by the share of backgrounds.")


class Signatures(Answer):
    """The maps of a run in every state of its images (clean, attacked, noisy), and Table II of paper 1 measured."""

    available: Literal[True] = True
    n: int = Field(description="Maps.")
    largest: float = Field(description="The largest relative gap between a map's sum and the logit that it explains.")
    unsound: int = Field(description="Maps with a gap above 0.1 %.")
    proximity: tuple[ProximityRow, ...] = Field(description="One row per group of pixels; empty where not measured.")


@dataclass(frozen=True, eq=False)
class ExplainedImage:
    """One image before and after the focus attack, with both signatures (c, h, w) and the critical pixels (h, w)."""

    index: int
    label: str
    predicted: str
    clean: Tensor
    image: Tensor
    clean_map: Tensor
    image_map: Tensor
    generation: Bool[Tensor, "h w"]
    detection: Bool[Tensor, "h w"]


def signatures(opened: OpenRun) -> Signatures:
    """How well all maps add up, and what their values are worth; Lacking without maps."""
    gaps = [record.gap for record in catalogue.MAPS.all(opened.run)]
    if not gaps:
        raise Lacking("signatures", "This run explained no image.", "Add [signatures] to the study.")
    gap = torch.cat(gaps)
    return Signatures(
        n=len(gap),
        largest=float(gap.max()),
        unsound=int((gap > LEAST_GAP).sum()),
        proximity=_proximity(opened.run),
    )


def _proximity(run: Run) -> tuple[ProximityRow, ...]:
    record = catalogue.PROXIMITY.find(run)
    if record is None:
        return ()
    return tuple(
        ProximityRow(
            group=group,
            k=record.k,
            n=len(change),
            size=_mean(change.abs()),
            change=_mean(change),
            relabelled=Rate(round(float(relabelled.sum())), len(relabelled)),
        )
        for group, change, relabelled in zip(record.groups, record.change, record.relabelled, strict=True)
    )


def _mean(values: Tensor) -> Estimate:
    mean, half = float(values.mean()), float(1.96 * values.std() / len(values) ** 0.5)
    return Estimate(mean, mean - half, mean + half)


def critical_of_all(run: Run) -> dict[Sense, Bool[Tensor, "h w"]]:
    """Masks (h, w) of the k pixels with the largest mean score over all images that the focus attack fooled."""
    record = catalogue.CRITICAL.load(run)
    scores: dict[Sense, Tensor] = {"generation": record.generation, "detection": record.detection}
    return {sense: CriticalPixels(sense, record.k, score[None]).masks[0] for sense, score in scores.items()}


def explained_images(run: Run, limit: int) -> list[ExplainedImage]:
    """The first `limit` images that the focus attack fooled, in file order."""
    record = catalogue.CRITICAL.load(run)
    found = catalogue.TWINS.load(run, attack=record.attack)
    before, after = (catalogue.MAPS.load(run, state=name) for name in ("clean", record.attack))
    names = catalogue.CLEAN.load(run).classes
    rows = found.success.nonzero()[:limit, 0]
    cut = [Attribution(m.values[rows], m.classes[rows], m.base[rows], m.gap[rows]) for m in (before, after)]
    masks = [critical_pixels(*cut, sense=sense, k=record.k).masks for sense in get_args(Sense)]
    predicted = found.logits.argmax(1)
    return [
        ExplainedImage(
            index=int(found.index[row]),
            label=names[int(found.labels[row])],
            predicted=names[int(predicted[row])],
            clean=found.clean[row],
            image=found.images[row],
            clean_map=cut[0].values[place],
            image_map=cut[1].values[place],
            generation=masks[0][place],
            detection=masks[1][place],
        )
        for place, row in enumerate(rows.tolist())
    ]
