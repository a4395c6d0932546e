"""conduct: a study's stages in order, each kept as soon as it is done, so that a killed run goes on where it was."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch

from pixelproof import models
from pixelproof.results import catalogue
from pixelproof.run import Run
from pixelproof.study import (
    cases,
    critical,
    duplicates,
    guard_table,
    guarding,
    hardening,
    one_pixel,
    penultimate,
    repair,
    resisting,
    signature_detectors,
    signatures,
)
from pixelproof.study.attacking import attack
from pixelproof.study.context import Context, Event, Listener
from pixelproof.study.defence_section import DefenceSection
from pixelproof.study.fitting import check_settings
from pixelproof.study.growing import taken_up
from pixelproof.study.guard_section import GuardSection
from pixelproof.study.spec import PixelSection, SignatureSection, Study
from pixelproof.study.stages import Stage
from pixelproof.study.training import clean, train

KNOWN = (catalogue.KNOWN, catalogue.KNOWN_PIXEL)
HARDENED = (catalogue.HARDENED_MODEL, catalogue.HARDENED_HISTORY)
AUDITED = (catalogue.AUDITS, catalogue.AUDITS_MASKED)


def _whole(study: Study) -> Study:
    return study


def _signatures(study: Study) -> SignatureSection | None:
    return study.signatures


def _pixels(study: Study) -> PixelSection | None:
    return study.pixels


def _guards(study: Study) -> GuardSection | None:
    return study.guards


def _defences(study: Study) -> DefenceSection | None:
    return study.defences


ALWAYS: tuple[Stage[Any], ...] = (
    Stage("train", _whole, lambda context, _: train(context), (catalogue.MODEL, catalogue.HISTORY)),
    Stage("clean", _whole, lambda context, _: clean(context), (catalogue.CLEAN, catalogue.MODEL)),
    Stage("attack", lambda study: study.attacks, attack, (catalogue.ATTACKED,)),
)
SIGNATURES: tuple[Stage[Any], ...] = (
    Stage("signatures", _signatures, signatures.signatures, (catalogue.TWINS, catalogue.MAPS)),
    Stage("critical pixels", _signatures, critical.critical, (catalogue.CRITICAL,)),
    Stage("proximity to 0", _signatures, critical.near_zero, (catalogue.PROXIMITY,)),
    Stage("sanity", _signatures, critical.sanity, (catalogue.SANITY,)),
    Stage("inside", _signatures, penultimate.inside, (catalogue.INSIDE,)),
    Stage("projection", _signatures, penultimate.project, (catalogue.PROJECTIONS,)),
    Stage("detectors", _signatures, signature_detectors.detect, (catalogue.ROWS, catalogue.SIGNATURE_DETECTORS)),
    Stage("adaptive", _signatures, signature_detectors.adaptive, (catalogue.ADAPTIVE,), lambda s: s.adaptive),
)
PIXELS: tuple[Stage[Any], ...] = (
    Stage("screen", _pixels, one_pixel.screen, (catalogue.SCREENED, catalogue.SCREENED_BLOCK)),
    Stage("twins", _pixels, one_pixel.pixel_set, (catalogue.PIXEL_SET,)),
    Stage("survey", _pixels, one_pixel.survey, (catalogue.SURVEY, catalogue.SURVEY_BLOCK)),
    Stage("repair", _pixels, repair.repair, (catalogue.REPAIR,), lambda s: s.repair),
    Stage("certificate", _pixels, one_pixel.certify, (catalogue.CERTIFICATE,), lambda s: s.certify),
)
GUARDS: tuple[Stage[Any], ...] = (
    Stage("guards", _guards, guarding.attack, (catalogue.SETS,)),
    Stage("index", _guards, guarding.index, (catalogue.INDEX, catalogue.NEIGHBOURS)),
    Stage("tune", _guards, guarding.tune, (catalogue.TUNED,)),
    Stage("validate", _guards, guarding.validate, (catalogue.VERDICTS,)),
    Stage("examples of each case", _guards, cases.cases, (catalogue.CASES,)),
    Stage(
        "near-duplicates",
        _guards,
        duplicates.duplicates,
        (catalogue.DUPLICATES,),
        lambda s: s.duplicates is not None,
    ),
    Stage("detector table", _guards, guard_table.compare, (catalogue.DETECTORS, *KNOWN)),
)
DEFENCES: tuple[Stage[Any], ...] = (
    Stage("harden", _defences, hardening.harden, HARDENED),
    Stage("budget", _defences, hardening.budget, (catalogue.BUDGETS,)),
    Stage("search", _defences, hardening.search, (catalogue.SEARCH,), lambda s: s.search),
    Stage("harden what was found", _defences, hardening.harden, HARDENED),
    Stage("resist", _defences, resisting.resist, (catalogue.HARDENED,)),
    Stage("audit", _defences, resisting.audit, AUDITED, lambda s: s.audit),
)
STAGES = (*ALWAYS, *SIGNATURES, *PIXELS, *GUARDS, *DEFENCES)


def conduct(
    study: Study,
    folder: str | Path,
    *,
    root: str | Path | None = None,
    device: str = "auto",
    listener: Listener | None = None,
) -> Run:
    """Run every stage that is not yet in `folder`, and return the complete run.

    `root` is the folder with the data sets. The same study gives the same numbers whether or not it was interrupted.
    A run to whose [defences] the study adds networks, rows or seeds goes on with what it has;
    RunError where something lies there that its own study did not make.
    """
    run = Run.create(Path(folder), study.model_dump(mode="json"), grows=taken_up)
    try:
        context = Context(study, run, root, device, listener or (lambda event: None))
    except BaseException:
        run.withdraw()
        raise
    for name, why in run.damaged.items():
        context.tell(f"{name} is damaged and made again", 1, 1, why)
    for stage in STAGES:
        started = time.perf_counter()
        try:
            stage.conduct(context)
            if stage.name == "train":
                check_settings(context)
        finally:
            if not run.complete and stage.section(study) is not None:
                run.spend(stage.name, time.perf_counter() - started)
    if not run.complete:
        place = context.model.device
        facts = {"device": str(place), "native_bf16": models.native_bf16(place), "seconds": run.seconds}
        run.finish({**facts, "threads": torch.get_num_threads()})
    run.release()
    return run


__all__ = ["STAGES", "Event", "Listener", "conduct"]
