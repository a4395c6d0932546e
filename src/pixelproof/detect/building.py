"""A guard made from what was asked: tuned, fitted, calibrated and kept in a folder, where the same request finds it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from pixelproof import attacks
from pixelproof.atomic import plain, write_whole
from pixelproof.attacks import AdversarialSet
from pixelproof.data import Dataset
from pixelproof.detect import DeepNeighbours, Detector, Guard, Store, divide, load_guard, parse, save_guard, tune
from pixelproof.detect.guards.guard import Recalibrated
from pixelproof.detect.keeping import GUARD
from pixelproof.detect.neighbours.layers import default_layers
from pixelproof.draws import rng_of
from pixelproof.errors import BadInput, RunError
from pixelproof.models import Classifier

Tell = Callable[[str, int, int, str], None]  # what is done, how far, of how much, a note

ABOUT = "guard.json"  # what was asked for when the guard in this folder was made
K_MAX = 75


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


@dataclass(frozen=True)
class TunedLayer:
    """What tuning chose for one layer: k and the threshold on the count of strangers, and how well it separates.

    `eer` is on the half that was tuned on, `accuracy` (balanced) and `auroc` are on the other, on so many `clean` and
    `attacked` images.
    """

    layer: str
    k: int
    threshold: int
    eer: float
    accuracy: float
    auroc: float
    clean: int
    attacked: int


@dataclass(frozen=True, eq=False)
class Built:
    """A guard, whether it was made now, and what tuning found (one row per layer, empty without tuning)."""

    guard: Guard
    new: bool
    tuned: tuple[TunedLayer, ...]

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
    wanted = {**asdict(asked), "model": model.digest(), "data": content(train, held)}
    if folder is not None and (folder / GUARD).is_file():
        return Built(load_guard(folder, model), new=False, tuned=_checked(folder, wanted))
    chosen = parse(asked.detector)
    tuned: tuple[TunedLayer, ...] = ()
    train, rng = train.sample(asked.fit, asked.seed), rng_of(asked.seed)
    if asked.tune is not None:
        held, half = divide(held, rng, share=0.5)
        chosen, tuned = tuned_on(asked, model, train, half, tell)
    attacked = None if asked.attack is None else mounted(asked.attack, model, train, asked.seed, tell)
    tell(f"fit {chosen.name}", 0, 1, "")
    guard = fit(chosen, model, (train, held), rate=asked.rate, rng=rng, attacked=attacked)
    tell(f"fit {chosen.name}", 1, 1, "")
    if folder is not None:
        write_whole(folder / ABOUT, json.dumps({**wanted, "tuned": [asdict(row) for row in tuned]}, indent=1))
        save_guard(guard, folder)
    return Built(guard, new=True, tuned=tuned)


def content(train: Dataset, held: Dataset) -> str:
    """A digest of the images that a guard is made from: pixels, labels and positions of both."""
    return hashlib.sha256((train.digest() + held.digest()).encode()).hexdigest()[:16]


def fit(
    detector: Detector,
    model: Classifier,
    data: tuple[Dataset, Dataset],
    *,
    rate: float,
    rng: torch.Generator,
    attacked: AdversarialSet | None = None,
) -> Guard:
    """The guard of a detector fitted on the first images, its threshold set on the second at a false-alarm rate."""
    train, held = data
    guard = detector.fit(model, train, attacked, rng)
    if not isinstance(guard, Recalibrated):
        raise BadInput("detect", "the detector's guard must have a calibration", f"'{detector.name}'")
    return guard.calibrated(model, held, rate=rate)


def _checked(folder: Path, wanted: dict[str, Any]) -> tuple[TunedLayer, ...]:
    """What tuning found when the kept guard was made; RunError when it was made otherwise."""
    try:
        kept = json.loads(plain(folder / ABOUT).read_text())
        tuned = tuple(TunedLayer(**row) for row in kept.pop("tuned"))
    except (OSError, ValueError, KeyError, TypeError) as reason:
        raise RunError(str(folder / ABOUT), "must be readable", reason, "Delete the folder.") from reason
    changed = ", ".join(sorted(key for key in wanted if kept.get(key) != wanted[key]))
    if changed:
        do = "Choose another folder, or delete it."
        raise RunError(str(folder), "holds a guard that was made with other settings", changed, do)
    return tuned


def tuned_on(
    asked: Asked, model: Classifier, train: Dataset, half: Dataset, tell: Tell
) -> tuple[Detector, tuple[TunedLayer, ...]]:
    """The detector with k per layer tuned on an attack on validation images, and what tuning found."""
    chosen = parse(asked.detector)
    if asked.tune is None or not isinstance(chosen, DeepNeighbours):
        raise BadInput("--tune", "only 'neighbours' has k and thresholds per layer to tune", f"'{asked.detector}'")
    found = mounted(asked.tune, model, half, asked.seed, tell)
    layers = chosen.layers or default_layers(model, rows=len(train))
    store = Store.build(model, train, layers, metric=chosen.metric, engine=chosen.engine)
    tuned = tune(store, model, half, found, k_max=min(K_MAX, len(store)), seed=asked.seed)
    rows = tuple(
        TunedLayer(
            layer=layer,
            k=tuned.best[place],
            threshold=tuned.thresholds[place],
            eer=float(tuned.tuning.eer[place, tuned.best[place] - 1]),
            accuracy=float(tuned.validated[place, tuned.best[place] - 1]),
            auroc=float(tuned.validation.auroc[place, tuned.best[place] - 1]),
            clean=tuned.validation.clean,
            attacked=tuned.validation.attacked,
        )
        for place, layer in enumerate(store.spaces)
    )
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
