"""The catalogue: each kind of result a run can hold, once; load, save and list go through it.

A result's name in the run is a pattern whose places in braces are filled by the slugs of what it belongs to, such as
"attack/{attack}/eps-{eps}". No other module spells a name of a result.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Generic, Literal, TypeAlias, TypeVar

from pixelproof.attacks import AdversarialSet
from pixelproof.detect import Store, Tuned
from pixelproof.explain import Attribution
from pixelproof.explain.proximity import Proximity
from pixelproof.models import Classifier, History
from pixelproof.results.attacked import AttackedRecord
from pixelproof.results.audit import Audit, AuditQuestion, Finding, LowerBound
from pixelproof.results.cases import CaseRecord
from pixelproof.results.comparison import Comparison
from pixelproof.results.critical import CriticalRecord, SanityRecord
from pixelproof.results.defences import AuditRecord, BudgetRecord, HardenedRecord, SearchRecord
from pixelproof.results.defended import DefendedRecord
from pixelproof.results.detection import DetectionRecord
from pixelproof.results.detectors import GuardRecord, KnownRecord
from pixelproof.results.duplicates import DuplicateRecord
from pixelproof.results.evaluation import Evaluation, RobustnessCurve, Saved
from pixelproof.results.neighbours import NeighbourRecord, VerdictRecord
from pixelproof.results.one_pixel import CertificateRecord, PixelSet, PixelSurvey, RepairRecord
from pixelproof.results.penultimate import InsideRecord, ProjectionRecord
from pixelproof.results.robustness import AttackRecord, CleanRecord
from pixelproof.results.signature_detectors import AdaptiveRecord, DetectorRecord, RowTable
from pixelproof.run import Run, slug

T = TypeVar("T")
Part: TypeAlias = str | int | float
SectionName: TypeAlias = Literal["classifier", "attacks", "signatures", "pixels", "guards", "defences", "command"]


@dataclass(frozen=True)
class Result(Generic[T]):
    """One kind of result: the pattern of its names, the study's section that makes it, its record, and a sentence.

    The parts that fill the pattern are given by name: specs and names of detectors as they are written (they are
    slugged here), budgets as numbers.
    """

    pattern: str
    section: SectionName
    kind: type[T]
    about: str

    def name(self, **parts: Part) -> str:
        """The name in a run, for example "attack/pgd/eps-0.1" of attack "pgd" and eps 0.1."""
        return self.pattern.format(**{key: _text(value) for key, value in parts.items()})

    def has(self, run: Run, **parts: Part) -> bool:
        """Whether the run holds it, whole."""
        return run.has(self.name(**parts))

    def load(self, run: Run, **parts: Part) -> T:
        """The record; RunError where the run does not hold it, CorruptFile where its file is damaged."""
        return run.load(self.name(**parts), self.kind)

    def find(self, run: Run, **parts: Part) -> T | None:
        """The record, or None where the run does not hold it."""
        return self.load(run, **parts) if self.has(run, **parts) else None

    def save(self, run: Run, value: T, **parts: Part) -> None:
        """Keep a record; its file is there whole or not at all."""
        run.save(self.name(**parts), value)

    def path(self, run: Run, **parts: Part) -> Path:
        """The file, for results that are no records: classifiers."""
        return run.path(self.name(**parts))

    def remove(self, run: Run, **parts: Part) -> None:
        """Take the record out of the run."""
        run.path(self.name(**parts)).unlink()

    def names(self, run: Run) -> list[str]:
        """The names of all results of this kind in the run, sorted."""
        return [name for name in run.names(self._prefix) if self.parts(name) is not None]

    def all(self, run: Run) -> Iterator[T]:
        """All records of this kind in the run, in the order of their names."""
        return (run.load(name, self.kind) for name in self.names(run))

    def parts(self, name: str) -> dict[str, str] | None:
        """What fills the pattern in a name (slugs), or None for the name of another kind of result."""
        found = self._expression.fullmatch(name)
        return None if found is None else found.groupdict()

    @property
    def _prefix(self) -> str:
        return self.pattern.partition("{")[0]

    @cached_property
    def _expression(self) -> re.Pattern[str]:
        """A slug holds no slash, so a place in braces is one part of a path."""
        pieces = re.split(r"\{(\w+)\}", self.pattern)
        return re.compile("".join(f"(?P<{p}>[^/]+)" if k % 2 else re.escape(p) for k, p in enumerate(pieces)))


def _text(value: Part) -> str:
    return f"{value:.6g}" if isinstance(value, float) else slug(str(value))


MODEL = Result("model", "classifier", Classifier, "The classifier with its card.")
HISTORY = Result("history", "classifier", History, "Loss and scores of every epoch of its training.")
CLEAN = Result("clean", "classifier", CleanRecord, "What the classifier makes of the clean test images.")

ATTACKED = Result("attack/{attack}/eps-{eps}", "attacks", AttackRecord, "One attack at one budget, image by image.")

TWINS = Result("signatures/twins/{attack}", "signatures", AdversarialSet, "Attacked images with their clean twins.")
MAPS = Result("signatures/maps/{state}", "signatures", Attribution, "SHAP values of the images in one state.")
CRITICAL = Result("signatures/critical", "signatures", CriticalRecord, "Critical pixels: tests, curves, drift.")
PROXIMITY = Result("signatures/proximity", "signatures", Proximity, "What pixels with attributions near 0 do.")
SANITY = Result("signatures/sanity", "signatures", SanityRecord, "Attributions of randomised and retrained networks.")
RETRAINED = Result("signatures/models/{number}", "signatures", Classifier, "The classifier, trained with another seed.")
INSIDE = Result("signatures/inside/{attack}", "signatures", InsideRecord, "The penultimate layer under one attack.")
PROJECTIONS = Result("signatures/projection/{space}", "signatures", ProjectionRecord, "Images on a plane, by space.")
ROWS = Result("signatures/rows/{space}", "signatures", RowTable, "The rows that signature detectors are fitted on.")
SIGNATURE_DETECTORS = Result("signatures/detectors/{name}", "signatures", DetectorRecord, "One detector on signatures.")
ADAPTIVE = Result("signatures/adaptive", "signatures", AdaptiveRecord, "Attacks that know the signature detector.")

SCREENED = Result("pixels/screened", "pixels", PixelSurvey, "The likeliest pixels of all images.")
SCREENED_BLOCK = Result("pixels/screened-{start}", "pixels", PixelSurvey, "A block of it, until all blocks are there.")
SURVEY = Result("pixels/survey", "pixels", PixelSurvey, "Every pixel of some images.")
SURVEY_BLOCK = Result("pixels/survey-{start}", "pixels", PixelSurvey, "A block of it, until all blocks are there.")
PIXEL_SET = Result("pixels/set", "pixels", PixelSet, "Images with their one-pixel twins, in two halves by image.")
REPAIR = Result("pixels/repair", "pixels", RepairRecord, "Detection and recovery by repairing one pixel.")
CERTIFICATE = Result("pixels/certificate", "pixels", CertificateRecord, "Images that no single pixel can turn.")

SETS = Result("guards/sets/{attack}", "guards", AdversarialSet, "The images that detectors are judged on, attacked.")
NEIGHBOURS = Result("guards/neighbours/{state}", "guards", NeighbourRecord, "Nearest training images in every layer.")
TUNED = Result("guards/tuned/{attack}", "guards", Tuned, "k and threshold of every layer, tuned on one attack.")
VERDICTS = Result("guards/verdicts/{state}", "guards", VerdictRecord, "What every layer says of the images.")
INDEX = Result("guards/index/store", "guards", Store, "The index of the training images' activations.")
CASES = Result("guards/witnesses", "guards", CaseRecord, "Images of each case with their nearest training images.")
DUPLICATES = Result("guards/duplicates", "guards", DuplicateRecord, "Near-duplicates among the training images.")
DETECTORS = Result("guards/detectors/{name}", "guards", GuardRecord, "One detector against every attack.")
KNOWN = Result("guards/known/{name}", "guards", KnownRecord, "Attacks that know one detector.")
KNOWN_PIXEL = Result("guards/known-pixel/{name}", "guards", KnownRecord, "The pixel that one detector overlooks.")

HARDENED_MODEL = Result("defences/models/{net}/{row}-{seed}", "defences", Classifier, "A hardened classifier.")
HARDENED_HISTORY = Result("defences/history/{net}/{row}-{seed}", "defences", History, "Its training.")
HARDENED = Result("defences/rows/{net}/{row}-{seed}", "defences", HardenedRecord, "What held under which attack.")
BUDGETS = Result("defences/budget/{net}", "defences", BudgetRecord, "The eps at which a network is judged.")
SEARCH = Result("defences/search", "defences", SearchRecord, "Settings tried at random on validation images.")
AUDITS = Result("defences/audit/{net}/{row}", "defences", AuditRecord, "What the audit said of a row.")
AUDITS_MASKED = Result("defences/audit/{net}/{row}-mask-on", "defences", AuditRecord, "The same with its mask on.")

ATTACK = Result("attacked", "command", AttackedRecord, "One attack, with its images.")
EVALUATION = Result("evaluation", "command", Evaluation, "What an ensemble of attacks left standing.")
PROGRESS = Result("progress", "command", Saved, "An evaluation that is not finished, to go on from.")
CURVE = Result("curve", "command", RobustnessCurve, "Robust accuracy over a range of budgets.")
AUDIT = Result("audit", "command", Audit, "Whether a robust accuracy can be believed, and every red flag.")
LOWER_BOUND = Result("lower-bound", "command", LowerBound, "What is proven of an audit's images.")
QUESTION = Result("question", "command", AuditQuestion, "What an audit is the answer to.")
FLAGS = Result("flag/{number}", "command", Finding, "What the test of one red flag saw.")
DETECTION = Result("detection", "command", DetectionRecord, "A guard, and what it said of pictures and attacks.")
DEFENDED = Result("defended", "command", DefendedRecord, "A hardened model before and after.")
COMPARISON = Result("comparison", "command", Comparison, "Two models on the same images, cell by cell.")


def proofs(run: Run) -> Path:
    """The folder where a certificate's proofs are kept pixel by pixel, so that a killed one goes on."""
    return CERTIFICATE.path(run).with_name("proof")


def audits(mask_on: bool) -> Result[AuditRecord]:
    """The kind of result that an audit of a row is, with or without the row's mask on at test."""
    return AUDITS_MASKED if mask_on else AUDITS


RESULTS: Mapping[str, Result[object]] = MappingProxyType(
    {name: value for name, value in list(globals().items()) if isinstance(value, Result)}
)


def of_section(section: SectionName) -> tuple[Result[object], ...]:
    """Every kind of result that one section of a study can make."""
    return tuple(result for result in RESULTS.values() if result.section == section)


def which(name: str) -> Result[object] | None:
    """The kind of result that a name in a run belongs to; the most particular pattern where several fit."""
    fitting = [result for result in RESULTS.values() if result.parts(name) is not None]
    return max(fitting, key=lambda result: len(re.sub(r"\{\w+\}", "", result.pattern)), default=None)
