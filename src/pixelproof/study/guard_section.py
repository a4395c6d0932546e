"""The section [guards] of a study: would we notice? (paper 3)"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from pydantic import Field, field_validator, model_validator

from pixelproof import attacks, detect, specs
from pixelproof.attacks import Attack
from pixelproof.attacks.pixel import OnePixel
from pixelproof.detect.neighbours.metrics import Metric
from pixelproof.errors import BadInput, UnknownName
from pixelproof.study.section import Budget, Finite, Section

PIXELS = "pixels"  # the one-pixel twins that the study's section [pixels] makes
KINDS: Mapping[str, type[Attack]] = MappingProxyType({**attacks.ATTACKS, PIXELS: OnePixel})


def attack_of(spec: str, eps: float) -> Attack:
    """The attack that a spec of the section names, at `eps` unless the spec has its own."""
    found: Attack = specs.parse(spec, KINDS, "attack", {"eps": eps})
    return found


class GuardSection(Section):
    """Deep k-nearest neighbours tuned as in paper 3, and other detectors beside them, against `attacks`.

    `n` test images are attacked, at `eps` where an attack's spec gives none; `clean` of them are judged as they are
    (`n` unless given); half of the test set tunes, the other half judges. The attack "pixels" stands for the twins that
    the study's section [pixels] makes, in that set's halves.

    The alarm rule is tuned on `focus`, for up to `k` neighbours among `index` training images (all, unless given) in
    `layers` (the dense ones, unless named). `duplicates`: leave near-copies of training images out of the index (root
    mean square distance). `detectors` are fitted on `fit` training images; thresholds come from `calibrate` validation
    images at false-alarm rate `rate`. `adaptive`: how many images the attacks that know a detector are given (0: none),
    for `steps` steps, with each weight in `weights`.
    """

    attacks: tuple[str, ...] = Field(default=("fgsm", "pgd", "deepfool"), min_length=1)
    focus: str = "pgd"
    eps: Budget = 0.1
    n: int = Field(default=300, ge=40)
    clean: int | None = Field(default=None, ge=40)
    k: int = Field(default=75, ge=1)
    index: int | None = Field(default=None, ge=1)
    fit: int = Field(default=10_000, ge=100)
    layers: tuple[str, ...] = ()
    metric: Metric = "euclidean"
    calibrate: int = Field(default=1000, ge=19)
    rate: float = Field(default=0.05, gt=0, lt=1)
    duplicates: float | None = Field(default=None, ge=0, lt=1)
    detectors: tuple[str, ...] = ("margin", "softmax")
    adaptive: int = Field(default=0, ge=0)
    weights: tuple[Finite, ...] = (0.1, 1.0, 10.0)
    steps: int = Field(default=40, ge=1)

    @field_validator("attacks")
    @classmethod
    def _attacks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for spec in value:
            if spec != PIXELS:
                attack_of(spec, 0.1)
        if len(set(value)) < len(value):
            raise BadInput("guards", "expected each attack once", ", ".join(value))
        return value

    @field_validator("detectors")
    @classmethod
    def _detectors(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for spec in value:
            if spec.partition(":")[0] in detect.SUPERVISED:
                raise BadInput("guards", "detectors must not need attacked training images", f"'{spec}'")
            detect.parse(spec)
        if len(set(value)) < len(value):
            raise BadInput("guards", "expected each detector once", ", ".join(value))
        return value

    @model_validator(mode="after")
    def _focused(self) -> GuardSection:
        if self.focus not in self.attacks:
            raise UnknownName("guards", "focus", self.focus, self.attacks)
        if self.index is not None and self.k > self.index:
            raise BadInput("guards", f"k must be at most index, {self.index}", self.k, "Lower k, or raise index.")
        return self
