"""Study: what a TOML file asks for, checked before anything runs."""

from __future__ import annotations

import reprlib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import count
from math import ceil
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from pixelproof import attacks, specs
from pixelproof.atomic import plain
from pixelproof.errors import BadInput, UnknownName
from pixelproof.models import NETS, Training, suited
from pixelproof.run import slug
from pixelproof.study.defence_section import DefenceSection
from pixelproof.study.guard_section import PIXELS, GuardSection
from pixelproof.study.section import Budget, Finite, Section

CALIBRATED = 0.15  # of a section's images set thresholds
LONGEST = 200  # characters of a file's name
TRAINING: Mapping[str, type[Training]] = MappingProxyType({Training.name: Training})


class DataSection(Section):
    """Which images: a named set or a path; `train` and `test` limit their numbers by a seeded stratified sample."""

    name: str
    train: int | None = Field(default=None, ge=1)
    test: int | None = Field(default=None, ge=1)


class ModelSection(Section):
    """Which classifier, as models.load understands it."""

    net: str = "cnn"
    weights: str | None = None


def _apart(what: str, files: Sequence[str], values: Sequence[object]) -> None:
    """Refuse settings whose results would lie in one file."""
    for place, file in enumerate(files):
        if file in files[:place]:
            both = f"{values[files.index(file)]} and {values[place]}"
            raise BadInput(
                "attacks", f"{what} must differ in the names of their files, '{file}'", both, "Leave one out."
            )


class AttackSection(Section):
    """Which attacks at which budgets. `examples` images per attack and budget are kept to be looked at."""

    specs: tuple[str, ...] = ()
    eps: tuple[Budget, ...] = Field(default=(0.1,), min_length=1)
    independent: bool = False
    examples: int = Field(default=60, ge=0)

    @field_validator("specs")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for spec in value:
            _ = specs.parse(spec, attacks.ATTACKS, "attack", {"eps": 0.1}).norm  # foolbox looks its attack up here
            if len(slug(spec)) > LONGEST:
                expected = f"a spec names a file, and must have at most {LONGEST} characters"
                raise BadInput("attacks", expected, f"{len(spec)}: '{spec[:40]}...'")
        _apart("specs", [slug(spec) for spec in value], value)
        return value

    @field_validator("eps")
    @classmethod
    def _distinct(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        _apart("eps", [f"{eps:.6g}" for eps in value], value)
        return value

    @model_validator(mode="after")
    def _within_reach(self) -> AttackSection:
        for spec in self.specs:
            for eps in self.eps:
                specs.parse(spec, attacks.ATTACKS, "attack", {"eps": eps})  # refuses a budget that its norm has not
        return self


class SignatureSection(Section):
    """Why was it fooled: signatures, critical pixels, what happens inside, and detectors on signatures (paper 1).

    `n` correctly classified test images are attacked with `attacks` at `eps`; `focus` is the attack that is looked at
    closely. DeepSHAP uses `background` training images. `k`: numbers of critical pixels, the middle one being shown.
    `layers` are projected beside the images (none given: the penultimate one). `models`: how many more networks are
    trained, with other seeds, to see how stable critical pixels are. `adaptive`: how many images the attack that knows
    the detector is given (0: none), for `steps` steps, with each weight in `weights`.
    """

    attacks: tuple[str, ...] = Field(default=("fgsm", "pgd", "bim", "deepfool"), min_length=1)
    focus: str = "pgd"
    eps: Budget = 0.2
    n: int = Field(default=300, ge=40)
    background: int = Field(default=10, ge=1)
    k: tuple[int, ...] = Field(default=(10, 25, 50, 100, 200), min_length=1)
    projection: Literal["pca", "umap", "auto"] = "pca"
    layers: tuple[str, ...] = ()
    models: int = Field(default=0, ge=0)
    rate: float = Field(default=0.05, gt=0, lt=1)
    adaptive: int = Field(default=0, ge=0)
    weights: tuple[Finite, ...] = (0.1, 0.3, 1.0, 3.0)
    steps: int = Field(default=40, ge=1)

    @field_validator("attacks")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for spec in value:
            if "eps" in specs.given(spec, attacks.ATTACKS, "attack"):
                raise BadInput("signatures", "attacks share the section's eps", f"'{spec}'", "Leave its eps out.")
            specs.parse(spec, attacks.ATTACKS, "attack", {"eps": 0.1})
        return value

    @field_validator("k")
    @classmethod
    def _ascending(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if min(value) < 1 or list(value) != sorted(set(value)):
            raise BadInput("signatures", "k must be ascending numbers from 1 on", value)
        return value

    @model_validator(mode="after")
    def _focused(self) -> SignatureSection:
        if self.focus not in self.attacks:
            raise UnknownName("signatures", "focus", self.focus, self.attacks)
        needed = ceil(1 / self.rate - 1e-9) - 1  # below, no clean image is rare enough to set a threshold at this rate
        least = next(n for n in count(1) if round(CALIBRATED * n) >= needed)
        if self.n < least:
            expected = f"n must be at least {least} for thresholds at rate {self.rate:g}"
            raise BadInput("signatures", expected, self.n, "Raise n or rate.")
        return self

    @property
    def critical(self) -> int:
        """The number of critical pixels that pictures and tests use."""
        return self.k[len(self.k) // 2]


class PixelSection(Section):
    """What can one pixel do: attack rates, attackability maps, paper 3's data set of twins, and certificates.

    `n` correctly classified test images are searched at the pixels that the gradient points at; those that fall make
    the data set. Of these, `maps` images are searched at every pixel. `validation`: the fewest examples (clean and
    attacked) that either half of the data set may have. The first `certify` correctly classified test images are
    attacked or proven, within `budget` CPU seconds each. `repair`: how many twins detection by repair is tried on, and
    as many clean images; `evade`: on how many of them attacks that know it.
    """

    n: int = Field(default=2500, ge=1)
    maps: int = Field(default=500, ge=1)
    validation: int = Field(default=496, ge=2)
    certify: int = Field(default=0, ge=0)
    budget: float = Field(default=1800.0, gt=0)
    repair: int = Field(default=250, ge=0)
    evade: int = Field(default=60, ge=0)


class PaperFigure(Section):
    """One row of a paper's figure or table: its values, to be printed beside ours.

    "robust accuracy" is of all images judged, "left standing" and "misclassified" of those classified correctly before.
    "neighbours k": the k that a paper chose for `layer` in its alarm rule. "printed": one number that is no share,
    named by `what` and shown as `text`, as the paper has it; `row` is the row of [defences] that it stands beside.
    """

    source: str
    measure: Literal[
        "misclassified",
        "robust accuracy",
        "left standing",
        "clean accuracy",
        "precision",
        "recall",
        "f1",
        "neighbours k",
        "printed",
    ]
    attack: str = ""
    layer: str = ""
    what: str = ""
    text: str = ""
    row: str = ""
    class_name: str = Field(default="", alias="class")
    eps: tuple[Budget, ...] = ()
    values: tuple[Finite, ...]
    n: int | None = None


class Study(Section):
    """A study: data, classifier, training, attacks, and the figures to compare with.

    `paper_of`: a bundled study whose `paper` figures stand after this one's own; once read in, it is empty.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    title: str
    about: str = ""
    seed: int = Field(default=0, ge=0, lt=2**63)
    data: DataSection
    model: ModelSection = ModelSection()
    training: str = ""
    attacks: AttackSection = AttackSection()
    signatures: SignatureSection | None = None
    pixels: PixelSection | None = None
    guards: GuardSection | None = None
    defences: DefenceSection | None = None
    paper: tuple[PaperFigure, ...] = ()
    paper_of: str = Field(default="", exclude=True)

    @model_validator(mode="before")
    @classmethod
    def _borrowed(cls, content: Any) -> Any:
        """The figures of another study, read in, so that a run's spec holds every figure itself."""
        name = content.get("paper_of") if isinstance(content, dict) else None
        if not name:
            return content
        if not isinstance(name, str) or name not in bundled():
            raise UnknownName("study", "study in paper_of", str(name)[:80], tuple(bundled()))
        own = content.get("paper", ())
        if not isinstance(own, list | tuple):
            return content  # refused below, by its own name
        return {**content, "paper": (*own, *_table(bundled()[name]).get("paper", ())), "paper_of": ""}

    @field_validator("training", mode="before")
    @classmethod
    def _training(cls, value: object) -> str:
        """A table of settings, or a spec string."""
        text = (
            ",".join(f"{key}={str(item).lower() if isinstance(item, bool) else item}" for key, item in value.items())
            if isinstance(value, dict)
            else str(value)
        )
        specs.parse(f"training:{text}", TRAINING)
        return text

    @model_validator(mode="after")
    def _consistent(self) -> Study:
        """Settings that would have no effect, and figures that nothing could stand beside, are errors."""
        if self.training and (self.model.net not in NETS or self.model.weights):
            raise ValueError("training: only a network of pixelproof's own, without weights, is trained")
        if self.guards is not None and PIXELS in self.guards.attacks and self.pixels is None:
            raise ValueError(f"guards: attack '{PIXELS}' needs a section [pixels]")
        if self.signatures and self.signatures.models and (self.model.net not in NETS or self.model.weights):
            raise ValueError("signatures.models: only a network of pixelproof's own, without weights, is trained again")
        for figure in self.paper:
            if len(figure.values) != max(1, len(figure.eps)):
                raise ValueError(f"paper: {figure.source} needs one value per eps")
            if figure.measure == "printed" and not (figure.what and figure.text):
                raise ValueError(f"paper: {figure.source} is printed, so it needs 'what' and 'text'")
            if figure.attack and figure.attack not in self.attacks.specs:
                raise ValueError(f"paper: {figure.source} names attack '{figure.attack}', which the study does not run")
        return self

    def trainer(self, images: int) -> Training:
        """The training settings for a number of images: those given, else suited ones, with the study's seed."""
        if not self.training:
            return replace(suited(self.model.net, images), seed=self.seed)
        return specs.parse(f"training:{self.training}", TRAINING, defaults={"seed": self.seed})


def bundled() -> dict[str, Path]:
    """The studies that come with pixelproof, by name: from the installed package, or from the source tree."""
    package = Path(__file__).parents[1]
    folders = (package / "studies", package.parents[1] / "studies")
    return {path.stem: path for folder in folders for path in sorted(folder.glob("*.toml"))}


def load(path: str | Path) -> Study:
    """The study in a TOML file, or the one of that name that comes with pixelproof.

    BadInput names the file, the key and what was expected there.
    """
    path = bundled().get(str(path), Path(path))
    return parse(_table(path), who=str(path))


def _table(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(plain(path).read_text())
    except OSError as reason:
        why = "" if isinstance(reason, FileNotFoundError) else f" ({reason.strerror or reason})"
        do = f"Bundled: {', '.join(bundled())}."
        raise BadInput("study", "expected a readable file", f"{str(path)[:200]}{why}", do) from reason
    except (ValueError, RecursionError) as reason:
        raise BadInput(str(path), "must be TOML", str(reason)[:300]) from reason


def parse(content: dict[str, Any], who: str = "study") -> Study:
    """A study from plain values, for instance those of a run's spec."""
    try:
        return Study.model_validate(content)
    except ValidationError as errors:
        first = errors.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            raise UnknownName(who, "key", where, _keys(first["loc"])) from errors
        if first["type"] == "missing":
            raise BadInput(who, f"needs a value for '{where}'", "none", "Add it to the study.") from errors
        raise BadInput(who, f"{where}: {first['msg']}", reprlib.repr(first["input"])[:80]) from errors
    except RecursionError as reason:
        raise BadInput(who, "a study must not be nested so deeply", "more levels than can be read") from reason


def _keys(location: tuple[int | str, ...]) -> list[str]:
    """The keys that would have been known where an unknown one stood."""
    model: Any = Study
    for part in location[:-1]:
        if isinstance(part, str):
            annotation = model.model_fields[part].annotation
            model = next(
                (kind for kind in (annotation, *getattr(annotation, "__args__", ())) if hasattr(kind, "model_fields")),
                Study,
            )
    return [".".join([*(str(part) for part in location[:-1]), name]) for name in model.model_fields]
