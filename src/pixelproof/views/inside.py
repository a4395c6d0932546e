"""What attacks do inside the network, and where attacked images lie among clean ones."""

from __future__ import annotations

from typing import Any

from pixelproof.results import InsideRecord, catalogue
from pixelproof.run import Run

UNITS = 10


def _records(run: Run) -> list[InsideRecord]:
    """Attacks in the study's order, the noise last."""
    section = run.spec.get("signatures") or {"attacks": []}
    order = {name: place for place, name in enumerate(section["attacks"])}
    found = list(catalogue.INSIDE.all(run))
    return sorted(found, key=lambda record: order.get(record.attack, len(order)))


def inside(run: Run) -> list[dict[str, Any]]:
    """One row per attack (and noise): the units that shift most, and how well a line separates the activations."""
    return [
        {
            "attack": record.attack,
            "layer": record.layer,
            "n": record.shift.n,
            "units": record.shift.units[:UNITS].tolist(),
            "d_z": record.shift.d_z[record.shift.units[:UNITS]].tolist(),
            "shift": record.shift.mean[record.shift.units[:UNITS]].tolist(),
            "moved": float((record.shift.d_z.abs() > 0.5).float().mean()),
            "separability": record.separability,
            "separability_n": record.separability_n,
        }
        for record in _records(run)
    ]


def by_class(run: Run) -> list[dict[str, Any]]:
    """Per attack, the mean change for each clean class of the units that shift most under that attack."""
    return [
        {
            "attack": record.attack,
            "units": record.shift.units[:UNITS].tolist(),
            "change": record.shift.by_class[:, record.shift.units[:UNITS]].tolist(),
        }
        for record in _records(run)
    ]


def drift(run: Run) -> list[dict[str, Any]]:
    """One row per attack and layer: median relative length and cosine distance of the change."""
    return [
        {
            "attack": record.attack,
            "layer": each.layer,
            "norm": float(each.norm.median()),
            "cosine": float(each.cosine.median()),
        }
        for record in _records(run)
        for each in record.drift
    ]


def projections(run: Run) -> list[dict[str, Any]]:
    """Coordinates of clean and attacked images, one entry per space; only attacked images that fooled."""
    found = list(catalogue.PROJECTIONS.all(run))
    return [
        {
            "method": record.method,
            "space": record.space,
            "labels": record.labels.tolist(),
            "clean": record.clean.tolist(),
            "attacked": {name: points[record.fooled[name]].tolist() for name, points in record.attacked.items()},
        }
        for record in sorted(found, key=lambda record: record.space != "images")
    ]
