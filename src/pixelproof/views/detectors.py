"""The detector table: every detector against every attack, its controls, and what attacks that know it reach."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field
from torch import Tensor

from pixelproof.detect import GuardEvaluation, roc
from pixelproof.results import GuardRecord, KnownRecord, catalogue
from pixelproof.run import Run, slug
from pixelproof.types import Rate
from pixelproof.views.answer import Answer, Estimate, Lacking
from pixelproof.views.detector_rows import DetectorRow, KnownRow, Separation, separation
from pixelproof.views.open_run import OpenRun
from pixelproof.views.roc import Roc
from pixelproof.views.signature_detectors import adaptive_rows, signature_rows

ANY = "any of them"
RATES = (0.01, 0.05)  # the false-alarm rates of the clean thresholds that are compared


class GuardRow(DetectorRow):
    """A detector of [guards]: with its controls, cost, clean thresholds, and what attacks that know it reach."""

    auroc_all: float = Field(description="AUROC against all clean images, misclassified ones included.")
    twins: Estimate | None = Field(description="AUROC against the clean originals of the very images that fell.")
    second: Rate = Field(description="Attacked images whose second highest logit is the true class's.")
    rejected_or_right: Rate = Field(description="Attempts that are alarmed or still classified correctly.")
    seconds_per_image: float = Field(description="Of judging an image.")
    alarms_1: Rate = Field(description="Attacked images alarmed at a clean threshold for 1 % false alarms.")
    false_alarms_1: Rate = Field(description="What that rate is on clean test images.")
    alarms_5: Rate = Field(description="Attacked images alarmed at a clean threshold for 5 % false alarms.")
    false_alarms_5: Rate = Field(description="What that rate is on clean test images.")
    calibration: int = Field(description="Clean validation images that its threshold comes from.")
    fit_seconds: float = Field(description="That fitting took.")
    lost: Rate | None = Field(description="Images that attacks which know it turn without an alarm; null: not tried.")
    lost_pixel: Rate | None = Field(description="The same with the single pixel that it finds least strange.")


class NaturalErrors(Separation):
    """A detector's figures with misclassified clean images in the place of attacked ones."""

    detector: str = Field(description="As in its own row.")
    clean_n: int = Field(description="Clean images that are classified correctly.")
    wrong_n: int = Field(description="Clean images that are misclassified.")


class Detectors(Answer):
    """Every detector that was judged, by the section of the study; `known` are attacks that know one."""

    available: Literal[True] = True
    guards: tuple[GuardRow, ...] = Field(description="One row per detector of [guards] and attack.")
    signatures: tuple[DetectorRow, ...] = Field(description="One row per detector of [signatures].")
    natural_errors: tuple[NaturalErrors, ...] = Field(description="One row per detector of [guards].")
    known: tuple[KnownRow, ...] = Field(description="One row per detector and attack that knows it.")


def detectors(opened: OpenRun) -> Detectors:
    """One row per detector and attack; Lacking where the study judged none."""
    run = opened.run
    records = guard_records(run)
    found = Detectors(
        guards=tuple(_guards(run, records)),
        signatures=signature_rows(run),
        natural_errors=tuple(_natural(records)),
        known=tuple(row for record in records for row in _known(run, record.name)) + adaptive_rows(run),
    )
    if not found.guards and not found.signatures:
        raise Lacking("detectors", "This run judged no detector.", "Add [guards] or [signatures] to the study.")
    return found


def guard_records(run: Run) -> list[GuardRecord]:
    """The detectors of [guards]: layers of the alarm rule first, then in the study's order."""
    section = run.spec.get("guards") or {"detectors": []}
    found = {record.name: record for record in catalogue.DETECTORS.all(run)}
    layers = catalogue.VERDICTS.load(run, state="clean").layers if found else ()
    order = [*(f"neighbours, {layer}" for layer in layers), *section["detectors"]]
    return [found[name] for name in order if name in found]


def _guards(run: Run, records: list[GuardRecord]) -> Iterator[GuardRow]:
    for record in records:
        known = catalogue.KNOWN.find(run, name=record.name)
        pixel = catalogue.KNOWN_PIXEL.find(run, name=record.name)
        for attack, evaluation in record.evaluations.items():
            yield _guard(record, attack, evaluation, known, pixel)


def _guard(
    record: GuardRecord, attack: str, found: GuardEvaluation, known: KnownRecord | None, pixel: KnownRecord | None
) -> GuardRow:
    clean, attacked = record.judged["clean"], record.judged[attack]
    curve = roc(clean.score[~clean.fooled], attacked.score[attacked.fooled])
    p_value = attacked.p_value[attacked.fooled]
    return GuardRow(
        **separation(found.figures),
        id=slug(record.name),
        detector=record.name,
        control=False,
        fitted_on=record.fitted_on,
        attack=attack,
        clean_n=found.figures.clean,
        attacked_n=found.figures.attacked,
        auroc_all=found.figures_all.auroc.value,
        noise=found.noise,
        twins=found.twins,
        recovered=found.recovered,
        second=found.second,
        rejected_or_right=found.rejected_or_right,
        seconds_per_image=found.seconds_per_image,
        rate=record.rate,
        alarms=found.alarms,
        false_alarms=found.false_alarms,
        alarms_1=_below(p_value, RATES[0]),
        false_alarms_1=_below(clean.p_value, RATES[0]),
        alarms_5=_below(p_value, RATES[1]),
        false_alarms_5=_below(clean.p_value, RATES[1]),
        calibration=record.calibration,
        fit_seconds=record.fit_seconds,
        lost=None if known is None else known.lost,
        lost_pixel=None if pixel is None else pixel.lost,
        roc=Roc.of(curve.thresholds, curve.fpr, curve.tpr),
    )


def _natural(records: list[GuardRecord]) -> Iterator[NaturalErrors]:
    for record in records:
        found = record.natural
        if found is not None:
            yield NaturalErrors(**separation(found), detector=record.name, clean_n=found.clean, wrong_n=found.attacked)


def _known(run: Run, detector: str) -> Iterator[KnownRow]:
    """Attacks that know one detector, every image's worst case, and last the pixel that it finds least strange."""
    for kind in (catalogue.KNOWN, catalogue.KNOWN_PIXEL):
        record = kind.find(run, name=detector)
        if record is None:
            continue
        for attack, fooled, evaded, auroc in zip(
            record.attacks, record.fooled, record.evaded, record.auroc, strict=True
        ):
            yield _known_row(record, attack, fooled, evaded, auroc)
        if len(record.attacks) > 1:
            worst = record.quietest
            fooled = Rate(0 if worst is None else worst.attacked, record.n)
            yield _known_row(record, ANY, fooled, record.lost, None if worst is None else worst.auroc.value)


def _known_row(record: KnownRecord, attack: str, fooled: Rate, evaded: Rate, auroc: float | None) -> KnownRow:
    return KnownRow(
        detector=record.name,
        n=record.n,
        norm=record.norm,
        eps=record.eps,
        steps=record.steps,
        rate=record.rate,
        attack=attack,
        fooled=fooled,
        evaded=evaded,
        auroc=auroc,
        lost=record.lost,
    )


def _below(p_value: Tensor, limit: float) -> Rate:
    return Rate(int((p_value <= limit + 1e-9).sum()), len(p_value))
