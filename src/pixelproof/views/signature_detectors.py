"""Detectors on signatures, their controls, and the attacks that know them."""

from __future__ import annotations

from typing import Literal, TypeAlias

from pydantic import Field

from pixelproof.detect.detectors.heads import HeadHistory
from pixelproof.results import DetectorRecord, catalogue
from pixelproof.run import Run, slug
from pixelproof.types import Rate
from pixelproof.views.answer import Answer, Estimate, Lacking
from pixelproof.views.detector_rows import DetectorRow, KnownRow, Separation, separation
from pixelproof.views.open_run import OpenRun
from pixelproof.views.roc import Roc

Matrix: TypeAlias = tuple[tuple[float, ...], ...]


class Epochs(Answer):
    """Accuracy of a detector's network after each epoch, at even odds."""

    fitted: tuple[float, ...] = Field(description="On the images that it is fitted on.")
    held_out: tuple[float, ...] = Field(description="On images that it is not fitted on; empty without any.")


class SignatureDetectorRow(DetectorRow):
    """A detector of [signatures]: the focus attack closely, and every pair of an attack fitted on and one tested on.

    `against` and `cross` are by what the attacked images are told from: "clean" images, "noise" of all four kinds, one
    kind, or "left out", noise of kinds that the fit did not see. A detector that is not `fitted` is a number that
    nobody fitted: its figures count in whichever direction tells more.
    """

    fitted: bool = Field(description="False for a number that nobody fitted.")
    noise_kinds: tuple[str, ...] = Field(description="Kinds of noise that its fit saw as clean; empty where none.")
    attacks: tuple[str, ...] = Field(description="The order of the matrices' rows (fitted on) and columns (tested on).")
    fitted_n: tuple[int, ...] = Field(description="Attacked images of the fit, for each of the attacks.")
    judged_n: tuple[int, ...] = Field(description="Attacked images that each column rests on.")
    against: dict[str, Matrix] = Field(description="AUROC of every pair.")
    cross: dict[str, Estimate] = Field(description="Mean AUROC over the pairs of two different attacks; empty of one.")
    from_noise: Separation = Field(description="The focus attack against noise twins of all kinds.")
    noise_alarms: Rate = Field(description="Noise twins of the attacked images above its threshold.")
    epochs: Epochs | None = Field(description="null for what is no network.")


class SignatureDetectors(Answer):
    """Detectors on signatures, controls last, and the attacks that know the strong one (the first does not)."""

    available: Literal[True] = True
    rows: tuple[SignatureDetectorRow, ...] = Field(description="Controls last.")
    known: tuple[KnownRow, ...] = Field(description="The first attack on a detector does not know it.")


def signature_detectors(opened: OpenRun) -> SignatureDetectors:
    """One row per detector, controls last; Lacking where the study judged none."""
    rows = signature_rows(opened.run)
    if not rows:
        raise Lacking("signature detectors", "This run judged none.", "Add [signatures] to the study.")
    ordered = sorted(rows, key=lambda row: (row.control, len(row.noise_kinds), row.detector))
    return SignatureDetectors(rows=tuple(ordered), known=adaptive_rows(opened.run))


def signature_rows(run: Run) -> tuple[SignatureDetectorRow, ...]:
    """One row per detector, in the order of their names."""
    return tuple(_row(record) for record in catalogue.SIGNATURE_DETECTORS.all(run))


def _row(record: DetectorRecord) -> SignatureDetectorRow:
    return SignatureDetectorRow(
        **separation(record.figures),
        id=slug(record.name),
        detector=record.name,
        control=record.control,
        fitted_on=record.focus,
        attack=record.focus,
        clean_n=record.figures.clean,
        attacked_n=record.figures.attacked,
        noise=record.figures_noise.auroc,
        recovered=None,
        rate=record.rate,
        alarms=record.alarms,
        false_alarms=record.false_alarms,
        roc=Roc.of(None, record.fpr, record.tpr),
        fitted=record.fitted,
        noise_kinds=record.noise,
        attacks=record.attacks,
        fitted_n=tuple(record.fitted_on.tolist()),
        judged_n=tuple(record.judged.tolist()),
        against={name: tuple(map(tuple, matrix.tolist())) for name, matrix in record.against.items()},
        cross=record.cross,
        from_noise=Separation(**separation(record.figures_noise)),
        noise_alarms=record.noise_alarms,
        epochs=_epochs(record.history),
    )


def _epochs(history: HeadHistory | None) -> Epochs | None:
    if history is None:
        return None
    return Epochs(fitted=tuple(history.training.tolist()), held_out=tuple(history.validation.tolist()))


def adaptive_rows(run: Run) -> tuple[KnownRow, ...]:
    """Attacks that know the strong detector; the first of them does not."""
    record = catalogue.ADAPTIVE.find(run)
    if record is None:
        return ()
    return tuple(
        KnownRow(
            detector=record.detector,
            n=record.n,
            norm="linf",
            eps=record.eps,
            steps=record.steps,
            rate=record.rate,
            attack=attack,
            fooled=fooled,
            evaded=evaded,
            auroc=auroc,
            lost=record.lost,
        )
        for attack, fooled, evaded, auroc in zip(
            record.attacks, record.fooled, record.evaded, record.auroc, strict=True
        )
    )
