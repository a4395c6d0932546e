"""The attack records of a run, in the order in which tables show them."""

from __future__ import annotations

from collections.abc import Iterator

from pixelproof.results import AttackRecord, catalogue
from pixelproof.run import Run
from pixelproof.views.example_sets import CONTROLS


def records(run: Run) -> Iterator[AttackRecord]:
    """Every attack record of a run, in the order of the study's attacks and then by eps."""
    order = {spec: position for position, spec in enumerate(run.spec["attacks"]["specs"])}
    found = list(catalogue.ATTACKED.all(run))
    yield from sorted(found, key=lambda record: (order.get(record.label, len(order)), record.eps or 0.0))


def family(label: str) -> str:
    """The attack's name without its settings: "pgd" for "pgd:steps=10"."""
    return label.partition(":")[0]


def is_control(label: str) -> bool:
    """Whether it is noise, to compare attacks with."""
    return family(label) in CONTROLS
