"""The list of runs and the overview of one."""

from __future__ import annotations

from typing import Any

from torch import nn

from pixelproof.results import catalogue
from pixelproof.types import Rate
from pixelproof.views.attacks import focus
from pixelproof.views.example_sets import Shown
from pixelproof.views.open_run import OpenRun
from pixelproof.views.overview import history, overview, rate

PARTS = {
    "attacks": ("attack/", "Robustness curves and attacked images.", "Add [attacks] with specs = [...] to the study."),
    "signatures": (
        "signatures/twins/",
        "SHAP values, critical pixels, projections.",
        "Add [signatures] to the study.",
    ),
    "guards": ("guards/verdicts/", "What every layer's neighbours say of an image.", "Add [guards] to the study."),
    "defences": ("defences/rows/", "Hardened models beside the plain one.", "Add [defences] to the study."),
    "pixels": ("pixels/", "One-pixel attacks and attackability maps.", "Add [pixels] to the study."),
}


def card(opened: OpenRun) -> dict[str, Any]:
    """One line of the list of runs; what an unfinished run does not know yet is null or empty."""
    run = opened.run
    spec = run.spec
    clean = opened.clean if catalogue.CLEAN.has(run) else None
    right = None if clean is None else Rate(int((clean.labels == clean.predicted).sum()), len(clean.labels))
    sets = opened.sets if clean is not None else ()
    return {
        "id": opened.name,
        "name": spec["name"],
        "title": spec["title"],
        "about": spec["about"],
        "data": spec["data"]["name"],
        "net": spec["model"]["net"],
        "defences": list(opened.model.card.defences) if opened.has("model") else [],
        "seed": spec["seed"],
        "complete": run.complete,
        "finished": run.facts.get("finished"),
        "digest": "" if clean is None else clean.digest,
        "clean_accuracy": None if right is None else rate(right),
        "examples": sum(len(each) for each in sets),
        "attacks": list(spec["attacks"]["specs"]),
        "start": start(opened) if sets else None,
    }


def page(opened: OpenRun) -> dict[str, Any]:
    """A run's overview: classifier, classes, layers, parts, training, settings and versions."""
    clean, found = opened.clean, overview(opened.run)
    return {
        "card": card(opened),
        "classes": list(clean.classes),
        "shape": list(opened.shape),
        "parameters": clean.parameters,
        "layers": layers(opened) if opened.has("model") else [],
        "parts": [
            {"name": name, "available": bool(opened.run.names(prefix)), "about": about, "add": add}
            for name, (prefix, about, add) in PARTS.items()
        ],
        "per_class": [_renamed(row) for row in found["per_class"]],
        "history": history(opened.run),
        "settings": dict(opened.run.spec),
        "facts": opened.run.facts,
        "training_images": opened.has("training"),
    }


def start(opened: OpenRun) -> str | None:
    """An adversarial example to begin with, by rule: the first success of the set the run looks at most closely.

    That is the guards' focus attack, else the signatures', else the attack and budget that `views.focus` chooses. A
    success that is still one as an 8-bit image goes before those that are not.
    """
    order = [_preferred(opened, "guards"), _preferred(opened, "signatures"), _focused(opened)]
    rest = [each for each in opened.sets if each.attack is not None and not each.control]
    found = [each for each in (*order, *rest) if each is not None]
    for lasting in (True, False):
        for each in found:
            hits = each.success & each.success_8bit if lasting else each.success
            if hits.any():
                return each.example(int(hits.nonzero()[0, 0]))
    return None


def layers(opened: OpenRun) -> list[dict[str, Any]]:
    """The classifier's layers in the order they run, with their width and whether their neighbours were judged."""
    modules = dict(opened.model.net.named_modules())
    widths = opened.widths
    return [
        {"name": name, "kind": kind(modules.get(name)), "width": width, "judged": name in opened.judged}
        for name, width in widths.items()
    ]


def kind(module: nn.Module | None) -> str:
    """What a layer is, in one word."""
    if isinstance(module, nn.Conv1d | nn.Conv2d):
        return "conv"
    if isinstance(module, nn.Linear):
        return "dense"
    return "composed" if module is None else type(module).__name__.lower()


def _renamed(row: dict[str, Any]) -> dict[str, Any]:
    """The row with its class under "name": "class" is no name for a field in Python."""
    return {"name" if key == "class" else key: value for key, value in row.items()}


def _preferred(opened: OpenRun, source: str) -> Shown | None:
    wanted = (opened.run.spec.get(source) or {}).get("focus")
    return next((each for each in opened.sets if each.source == source and each.attack == wanted), None)


def _focused(opened: OpenRun) -> Shown | None:
    chosen = focus(opened.run)
    if chosen is None:
        return None
    pair = (chosen["attack"], chosen["eps"])
    return next((s for s in opened.sets if s.source == "attacks" and (s.attack, s.eps) == pair), None)
