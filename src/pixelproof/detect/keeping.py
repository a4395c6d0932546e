"""A neighbour guard on disk: a folder with its store and, written last, everything it decides by."""

from __future__ import annotations

from pathlib import Path

from pixelproof.detect.guard import Calibration, SameModel
from pixelproof.detect.neighbours import NeighbourGuard, Scoring
from pixelproof.detect.rules import Rule
from pixelproof.detect.storage import read, write
from pixelproof.detect.store import Store
from pixelproof.errors import CorruptFile
from pixelproof.models import Classifier

GUARD = "guard.safetensors"


def save_guard(guard: NeighbourGuard, folder: Path) -> None:
    """Write a guard; a folder without guard.safetensors was not finished and is not read."""
    (folder / GUARD).unlink(missing_ok=True)
    guard.store.save(folder / "store")
    rule, scoring = guard.scoring.rule, guard.scoring
    tensors = {
        "centre": rule.centre,
        "spread": rule.spread,
        "weights": rule.weights,
        "reference": scoring.reference,
        "calibration": guard.calibration.scores,
        **{f"layer{number}": one.scores for number, one in enumerate(guard.per_layer)},
    }
    facts = {
        "digest": guard.store.digest,
        "rule": rule.name,
        "thresholds": rule.thresholds,
        "k": scoring.k,
        "classes": scoring.classes,
        "layers": scoring.layers,
        "rate": guard.calibration.rate,
        "two_sided": guard.calibration.two_sided,
    }
    write(folder / GUARD, tensors, facts)


def load_guard(folder: Path, model: Classifier) -> NeighbourGuard:
    """The guard in a folder; raises CorruptFile for an unfinished one and BadInput for another model's."""
    if not (folder / GUARD).is_file():
        raise CorruptFile(str(folder), "expected a finished guard", f"no {GUARD}", "Fit it again.")
    tensors, facts = read(folder / GUARD, model.digest())
    store = Store.load(folder / "store", model)
    thresholds = None if facts["thresholds"] is None else tuple(facts["thresholds"])
    rule = Rule(facts["rule"], tensors["centre"], tensors["spread"], tensors["weights"], thresholds)
    scoring = Scoring(tuple(facts["k"]), facts["classes"], facts["layers"], rule, tensors["reference"])
    rate = facts["rate"]
    per_layer = tuple(Calibration(tensors[f"layer{number}"], rate) for number in range(len(store.spaces)))
    own = Calibration(tensors["calibration"], rate, facts["two_sided"])
    return NeighbourGuard(store, scoring, per_layer, own, SameModel(model))
