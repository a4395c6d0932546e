"""The work behind `detect`: tune, fit or find a guard, judge images, measure; plain values for the terminal or JSON."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from pixelproof import attacks
from pixelproof.atomic import write_whole
from pixelproof.attacks import AdversarialSet
from pixelproof.cli.screen import Tell
from pixelproof.data import Dataset, read_images
from pixelproof.detect import (
    DeepNeighbours,
    Detector,
    Guard,
    Store,
    Verdict,
    adapt,
    divide,
    load_guard,
    parse,
    save_guard,
    tune,
)
from pixelproof.detect.evaluation.evaluate import alarms_on_clean, on_attack, on_clean, summary
from pixelproof.detect.guards.guard import Recalibrated
from pixelproof.detect.keeping import GUARD
from pixelproof.detect.neighbours.layers import default_layers
from pixelproof.errors import BadInput, RunError
from pixelproof.models import Classifier
from pixelproof.types import Images
from pixelproof.views.overview import rate

ABOUT = "guard.json"  # what was asked for when the guard in this folder was made
K_MAX = 75
STEPS = 40  # of the attacks that know the guard


@dataclass(frozen=True)
class Asked:
    """What makes a guard: detector, attack to tune on, false-alarm rate, training images at most, seed.

    `attack`: what a detector that learns from attacked images is fitted on, mounted on the training images.
    """

    detector: str
    tune: str | None
    rate: float
    fit: int
    seed: int
    attack: str | None = None


@dataclass(frozen=True, eq=False)
class Built:
    """A guard, whether it was made now, and what tuning found (one row per layer, empty without tuning)."""

    guard: Guard
    new: bool
    tuned: list[dict[str, Any]]

    @property
    def settings(self) -> str:
        """The detector with every setting as it was used, also those that the fit chose."""
        return self.guard.spec if isinstance(self.guard, Recalibrated) else ""


def build(asked: Asked, model: Classifier, data: tuple[Dataset, Dataset], *, folder: Path | None, tell: Tell) -> Built:
    """The guard that the same command kept in `folder`, else a new one, which is kept there.

    `data`: training images to fit on, validation images for tuning (half of them) and for the threshold. Raises
    RunError when the folder holds a guard that was made with other settings, model or data.
    """
    train, held = data
    content = hashlib.sha256((train.digest() + held.digest()).encode()).hexdigest()[:16]
    wanted = {**asdict(asked), "model": model.digest(), "data": content}
    if folder is not None and (folder / GUARD).is_file():
        return Built(load_guard(folder, model), new=False, tuned=_checked(folder, wanted))
    chosen = parse(asked.detector)
    tuned: list[dict[str, Any]] = []
    train, rng = train.sample(asked.fit, asked.seed), torch.Generator().manual_seed(asked.seed)
    if asked.tune is not None:
        held, half = divide(held, rng, share=0.5)
        chosen, tuned = tuned_on(asked, model, train, half, tell)
    attacked = None if asked.attack is None else mounted(asked.attack, model, train, asked.seed, tell)
    tell(f"fit {chosen.name}", 0, 1, "")
    guard = chosen.fit(model, train, attacked, rng)
    if not isinstance(guard, Recalibrated):
        raise BadInput("detect", "the detector's guard must have a calibration", f"'{chosen.name}'")
    guard = guard.calibrated(model, held, rate=asked.rate)
    tell(f"fit {chosen.name}", 1, 1, "")
    if folder is not None:
        write_whole(folder / ABOUT, json.dumps({**wanted, "tuned": tuned}, indent=1))
        save_guard(guard, folder)
    return Built(guard, new=True, tuned=tuned)


def _checked(folder: Path, wanted: dict[str, Any]) -> list[dict[str, Any]]:
    """What tuning found when the kept guard was made; RunError when it was made otherwise."""
    try:
        kept = json.loads((folder / ABOUT).read_text())
        tuned: list[dict[str, Any]] = kept.pop("tuned")
    except (OSError, ValueError, KeyError, TypeError) as reason:
        raise RunError(str(folder / ABOUT), "must be readable", reason, "Delete the folder.") from reason
    changed = ", ".join(sorted(key for key in wanted if kept.get(key) != wanted[key]))
    if changed:
        do = "Choose another folder, or delete it."
        raise RunError(str(folder), "holds a guard that was made with other settings", changed, do)
    return tuned


def tuned_on(
    asked: Asked, model: Classifier, train: Dataset, half: Dataset, tell: Tell
) -> tuple[Detector, list[dict[str, Any]]]:
    """The detector with k per layer tuned on an attack on validation images, and what tuning found."""
    chosen = parse(asked.detector)
    if asked.tune is None or not isinstance(chosen, DeepNeighbours):
        raise BadInput("--tune", "only 'neighbours' has k and thresholds per layer to tune", f"'{asked.detector}'")
    found = mounted(asked.tune, model, half, asked.seed, tell)
    layers = chosen.layers or default_layers(model, rows=len(train))
    store = Store.build(model, train, layers, metric=chosen.metric, engine=chosen.engine)
    tuned = tune(store, model, half, found, k_max=min(K_MAX, len(store)), seed=asked.seed)
    rows = [
        {
            "layer": layer,
            "k": tuned.best[place],
            "threshold": tuned.thresholds[place],
            "eer": float(tuned.tuning.eer[place, tuned.best[place] - 1]),
            "accuracy": float(tuned.validated[place, tuned.best[place] - 1]),
            "auroc": float(tuned.validation.auroc[place, tuned.best[place] - 1]),
            "clean": tuned.validation.clean,
            "attacked": tuned.validation.attacked,
        }
        for place, layer in enumerate(store.spaces)
    ]
    return replace(chosen, k=tuned.best, layers=layers), rows


def mounted(spec: str, model: Classifier, images: Dataset, seed: int, tell: Tell) -> AdversarialSet:
    """An attack on the correctly classified ones of some images."""
    return attacks.mount(
        attacks.parse(spec),
        model,
        images,
        seed=seed,
        progress=lambda done, total: tell(f"attack {spec}", done, total, ""),
    )


def pictures(model: Classifier, path: Path) -> tuple[Images, tuple[str, ...]]:
    """The pictures at a path and their names; BadInput when the model expects another shape."""
    pixels, names = read_images(path, channels=model.card.input_shape[0])
    if tuple(pixels.shape[1:]) != model.card.input_shape:
        expected = f"{model.card.name} expects images {model.card.input_shape} (channels, height, width)"
        raise BadInput(str(path), expected, tuple(pixels.shape[1:]), "Resize or convert them first.")
    return pixels.float() / 255, tuple(names)


def judged(guard: Guard, model: Classifier, images: Images, names: tuple[str, ...]) -> list[dict[str, Any]]:
    """The verdict on each picture, with its neighbours where the guard has them."""
    verdict, predicted = guard(model, images), model.predict(images).argmax(1)
    classes = model.card.classes
    return [
        {
            "image": name,
            "predicted": classes[int(predicted[row])],
            "score": float(verdict.score[row]),
            "threshold": verdict.threshold,
            "p_value": float(verdict.p_value[row]),
            "alarm": bool(verdict.alarm[row]),
            "recovered": None if verdict.recovered[row] < 0 else classes[int(verdict.recovered[row])],
            "layers": _evidence(verdict, row, classes),
        }
        for row, name in enumerate(names)
    ]


def _evidence(verdict: Verdict, row: int, classes: tuple[str, ...]) -> list[dict[str, Any]]:
    return [
        {
            "layer": layer.layer,
            "alarm": bool(layer.alarm[row]),
            "votes": {classes[label]: count for label, count in enumerate(layer.votes[row].tolist()) if count},
            "recovered": None if layer.recovered[row] < 0 else classes[int(layer.recovered[row])],
            "neighbours": layer.index[row].tolist(),
            "distances": [round(value, 6) for value in layer.distance[row].tolist()],
        }
        for layer in verdict.evidence
    ]


def measured(
    guard: Guard, model: Classifier, test: Dataset, found: dict[str, AdversarialSet], seed: int
) -> dict[str, Any]:
    """False alarms on test images, natural errors, and the figures against each attack that ever succeeded."""
    clean_verdict, right = on_clean(guard, model, test)
    alarms = alarms_on_clean(clean_verdict, right)
    attacked = []
    for spec, one in found.items():
        row: dict[str, Any] = {"attack": spec, "fooled": int(one.success.sum()), "attacked": len(one)}
        if one.success.any():
            figures = summary(on_attack(guard, model, one, seed=seed), clean_verdict, right, seed=seed)
            row |= {
                "auroc": figures.figures.auroc.value,
                "auroc_interval": [figures.figures.auroc.low, figures.figures.auroc.high],
                "alarms": rate(figures.alarms),
                "recovered": None if figures.recovered is None else rate(figures.recovered),
                "remark": figures.remark,
                "second_class": rate(figures.second),
                "milliseconds_per_image": round(1000 * figures.seconds_per_image, 3),
            }
        attacked.append(row)
    return {
        "test_images": len(test),
        "false_alarms": rate(alarms.false_alarms),
        "natural_error_alarms": rate(alarms.on_wrong),
        "attacks": attacked,
    }


def known(
    guard: Guard, model: Classifier, test: Dataset, n: int, found: dict[str, AdversarialSet], seed: int, tell: Tell
) -> dict[str, Any]:
    """What attacks that know the guard reach, at the largest linf budget of the attacks that were asked for."""
    eps = max((one.eps for one in found.values() if one.norm == "linf" and one.eps is not None), default=8 / 255)
    tell("attacks that know the guard", 0, 1, f"eps {eps:.3g}")
    known = adapt(guard, model, test.sample(n, seed), eps=eps, steps=STEPS, seed=seed)
    tell("attacks that know the guard", 1, 1, f"eps {eps:.3g}")
    return {"eps": eps, "steps": STEPS, "attacks": list(known.attacks), "evaded": rate(known.lost)}
