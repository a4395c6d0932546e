"""What `pixelproof detect` keeps beside a guard: its tuning, its verdicts on pictures, and what it is worth."""

from __future__ import annotations

from dataclasses import dataclass

from pixelproof.detect import GuardEvaluation, Verdict
from pixelproof.detect.building import Asked, TunedLayer
from pixelproof.detect.evaluation.evaluate import AlarmsOnClean
from pixelproof.results.detectors import KnownRecord
from pixelproof.types import Labels


@dataclass(frozen=True, eq=False)
class PictureVerdicts:
    """A guard's verdict on pictures of a user, by their names, with the classes that the model takes them for."""

    names: tuple[str, ...]
    predicted: Labels
    verdict: Verdict


@dataclass(frozen=True, eq=False)
class AttackedTest:
    """How many images an attack fooled of those it was given, and the guard's figures; None where it fooled none."""

    fooled: int
    attacked: int
    found: GuardEvaluation | None


@dataclass(frozen=True, eq=False)
class GuardTest:
    """A guard on `n` clean test images and on those that attacks, by their specs, made of them."""

    n: int
    clean: AlarmsOnClean
    attacks: dict[str, AttackedTest]


@dataclass(frozen=True, eq=False)
class DetectionRecord:
    """A guard as it was asked for and as it is, and the last that it was shown.

    `model` is the digest of its model, `classes` are that model's, `data` is the name of the data set. `settings`: the
    detector with every setting that ran. `mute`: no count of neighbours is rare enough for an alarm. `pictures`,
    `tested` and `known` (attacks that know the guard) are None where nobody asked for them.
    """

    asked: Asked
    model: str
    network: str
    data: str
    classes: tuple[str, ...]
    settings: str
    tuned: tuple[TunedLayer, ...]
    mute: bool
    pictures: PictureVerdicts | None
    tested: GuardTest | None
    known: KnownRecord | None
