"""The penultimate layer: what attacks do in it and in the layers before, and where attacked images lie."""

from __future__ import annotations

from typing import Literal, TypeAlias

from pydantic import Field
from torch import Tensor

from pixelproof.results import InsideRecord, catalogue
from pixelproof.run import Run
from pixelproof.views.answer import Answer, Lacking
from pixelproof.views.open_run import OpenRun

UNITS = 10
MOVED = 0.5  # |d_z| above which a unit counts as moved
Coordinates: TypeAlias = tuple[tuple[float, float], ...]


class UnitShift(Answer):
    """How one unit's activation changes between clean images and their attacked twins."""

    unit: int = Field(description="Its place in the flattened layer, from 0.")
    d_z: float = Field(description="Mean change over its standard deviation between images.")
    shift: float = Field(description="Mean change.")
    by_class: tuple[float, ...] = Field(description="Mean change of the images of every class.")


class LayerShift(Answer):
    """One attack in the penultimate layer, on the images that it fooled; noise of the same eps is a control."""

    attack: str = Field(description="As the study names it, or the noise.")
    layer: str = Field(description="Where it was measured.")
    n: int = Field(description="Images.")
    units: tuple[UnitShift, ...] = Field(description="The units that shift most, the most shifted first.")
    moved: float = Field(description="Share of all units with |d_z| > 0.5.")
    separability: float | None = Field(description="AUROC of a line on all units; null with too few images.")
    separability_n: int = Field(description="Images that it was measured on.")


class LayerDriftRow(Answer):
    """How far activations in one layer move under one attack: medians over images."""

    attack: str = Field(description="As the study names it, or the noise.")
    layer: str = Field(description="In the order they run.")
    norm: float = Field(description="Length of the change relative to the clean activations' length.")
    cosine: float = Field(description="Cosine distance, 0 to 2.")


class StoredProjection(Answer):
    """Two coordinates per image: the clean images, and for each attack those that fooled the classifier."""

    method: str = Field(description="pca or umap.")
    space: str = Field(description="'images' or a layer.")
    labels: tuple[int, ...] = Field(description="True classes of the clean images.")
    clean: Coordinates = Field(description="One point per clean image.")
    attacked: dict[str, Coordinates] = Field(description="Points of the images that fooled the classifier, by attack.")


class Penultimate(Answer):
    """What attacks do inside the network; attacks in the study's order, the noise last."""

    available: Literal[True] = True
    rows: tuple[LayerShift, ...] = Field(description="One per attack, in the penultimate layer.")
    drift: tuple[LayerDriftRow, ...] = Field(description="One per attack and layer.")
    projections: tuple[StoredProjection, ...] = Field(description="That of the images first.")


def penultimate(opened: OpenRun) -> Penultimate:
    """Shifts, drift and projections; Lacking without [signatures]."""
    records = _records(opened.run)
    if not records:
        raise Lacking("penultimate layer", "This run did not look inside.", "Add [signatures] to the study.")
    return Penultimate(
        rows=tuple(_shift(record) for record in records),
        drift=tuple(
            LayerDriftRow(
                attack=record.attack,
                layer=each.layer,
                norm=float(each.norm.median()),
                cosine=float(each.cosine.median()),
            )
            for record in records
            for each in record.drift
        ),
        projections=_projections(opened.run),
    )


def _records(run: Run) -> list[InsideRecord]:
    """Attacks in the study's order, the noise last."""
    section = run.spec.get("signatures") or {"attacks": []}
    order = {name: place for place, name in enumerate(section["attacks"])}
    return sorted(catalogue.INSIDE.all(run), key=lambda record: order.get(record.attack, len(order)))


def _shift(record: InsideRecord) -> LayerShift:
    found = record.shift
    return LayerShift(
        attack=record.attack,
        layer=record.layer,
        n=found.n,
        units=tuple(
            UnitShift(
                unit=unit,
                d_z=float(found.d_z[unit]),
                shift=float(found.mean[unit]),
                by_class=tuple(found.by_class[:, unit].tolist()),
            )
            for unit in found.units[:UNITS].tolist()
        ),
        moved=float((found.d_z.abs() > MOVED).float().mean()),
        separability=record.separability,
        separability_n=record.separability_n,
    )


def _projections(run: Run) -> tuple[StoredProjection, ...]:
    found = sorted(catalogue.PROJECTIONS.all(run), key=lambda record: record.space != "images")
    return tuple(
        StoredProjection(
            method=record.method,
            space=record.space,
            labels=tuple(record.labels.tolist()),
            clean=_points(record.clean),
            attacked={name: _points(points[record.fooled[name]]) for name, points in record.attacked.items()},
        )
        for record in found
    )


def _points(found: Tensor) -> Coordinates:
    return tuple((x, y) for x, y in found.tolist())
