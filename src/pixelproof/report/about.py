"""Where the numbers come from: settings, versions, times, how to make them again, and what the words mean."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pixelproof import views
from pixelproof.report.page import Fold, Prose, ReportSection, Table, Terms, Text, cells
from pixelproof.views import OpenRun
from pixelproof.views.answer import held
from pixelproof.views.overview import Overview

GLOSSARY = (
    ("adversarial image", "an image changed on purpose, within a budget, so that the classifier gets it wrong"),
    ("budget, eps", "the largest change allowed, in a norm, on images whose values lie between 0 and 1"),
    ("linf, l2, l1, l0", "norms of a change: the largest single value; the Euclidean length; the sum; the count"),
    ("clean accuracy", "share of unchanged test images that are classified correctly"),
    ("robust accuracy", "share of all test images that are right and that the attack did not break: an upper bound"),
    ("left standing", "the same, as a share of the images classified correctly before, as some papers count"),
    ("misclassified", "attacked images, classified correctly before, that are classified wrongly after the attack"),
    ("all attacks together", "an image stands only when none of the attacks at that budget broke it"),
    ("control", "noise of the same size that is aimed at nothing: what the size alone does"),
    ("FGSM", "one step along the sign of the loss gradient; weak, so never read it without PGD"),
    ("BIM, PGD", "many small such steps, from the image itself (BIM) or from a random start (PGD)"),
    ("DeepFool", "steps to the nearest linearised class boundary, made to find small changes"),
    ("first break", "the forward pass in which the attack first saw the image misclassified"),
    ("pass", "one run of one image through the network, forward, or backward for a gradient"),
    (
        "precision, recall, F1",
        "of what was called this class, the share that is; of this class, the share found; their harmonic mean",
    ),
    ("95 % interval", "Wilson's score interval for a share of n images"),
    ("from scratch, carried up", "every budget attacked anew; or what broke at a smaller budget counts at larger ones"),
)


def about(opened: OpenRun) -> ReportSection:
    """Settings, seeds, versions, times, reproduction and glossary."""
    run = opened.run
    facts = views.overview(opened)
    name = facts.name
    said = (
        "Save the study below and run the command; on the same machine and versions it gives the same numbers "
        "(seconds aside). Every table on this page is also a CSV file in tables/, every figure SVG and PNG in figures/."
    )
    study = Text(study_toml(run.spec), f"{name}.toml")
    command = Text(f"pixelproof run {name}.toml --out runs/{name}", "command")
    return ReportSection(
        "about",
        "Where these numbers come from",
        (Prose(said), command, Fold("The whole study", (study,)), _origin(opened, facts), Terms(GLOSSARY)),
    )


def _origin(opened: OpenRun, facts: Overview) -> Table:
    made, spec = facts.facts, opened.run.spec
    found = held(lambda: views.robustness(opened))
    full = {} if found is None else {row.attack: row.spec for row in found.rows}
    versions = ", ".join(f"{name} {version}" for name, version in made.versions.items())
    seconds = ", ".join(f"{stage} {value:.1f} s" for stage, value in made.seconds.items())
    sizes = [f"{limit} {split}" for split in ("train", "test") if (limit := spec["data"][split])]
    finished = datetime.fromtimestamp(made.finished or 0.0, UTC)
    rows = (
        ("data", facts.data + (f", limited to {' and '.join(sizes)} images by class share" if sizes else "")),
        ("network", facts.net + (f", weights {spec['model']['weights']}" if spec["model"]["weights"] else "")),
        ("training settings", spec["training"] or "defaults"),
        *((f"attack {k + 1}, at its last budget", each) for k, each in enumerate(full.values())),
        ("seed", facts.seed),
        ("versions", versions),
        ("revision", made.revision or "unknown (not a checkout)"),
        ("machine", f"{made.machine}; device {made.device}, threads: {made.threads}"),
        ("seconds per stage", seconds),
        ("finished", f"{finished:%Y-%m-%d %H:%M} UTC"),
    )
    return Table(
        "origin", "Settings, seeds, versions and times", ("what", "value"), (tuple(cells(*r, head=1) for r in rows),)
    )


def study_toml(spec: Mapping[str, Any]) -> str:
    """A run's spec as the study file that asks for it."""
    lines = [f"{key} = {_toml(value)}" for key, value in spec.items() if not _nested(value) and value is not None]
    for key, value in spec.items():
        if isinstance(value, Mapping):
            lines += ["", f"[{key}]", *_pairs(value)]
        elif _nested(value):
            lines += [line for item in value for line in ("", f"[[{key}]]", *_pairs(item))]
    return "\n".join(lines) + "\n"


def _nested(value: object) -> bool:
    return isinstance(value, Mapping) or (isinstance(value, list) and any(isinstance(item, Mapping) for item in value))


def _pairs(table: Mapping[str, Any]) -> list[str]:
    return [f"{key} = {_toml(value)}" for key, value in table.items() if value is not None]


def _toml(value: object) -> str:
    """Strings, numbers, booleans and flat lists are written in TOML as in JSON, except for the DEL character."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
