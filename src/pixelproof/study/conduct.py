"""conduct: a study's stages in order, each kept as soon as it is done, so that a killed run goes on where it was."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import torch

from pixelproof import models
from pixelproof.run import Run
from pixelproof.study import (
    critical,
    duplicating,
    guard_table,
    guarding,
    hardening,
    one_pixel,
    penultimate,
    repair,
    resisting,
    signature_detectors,
    signatures,
    witnessing,
)
from pixelproof.study.attacking import attack
from pixelproof.study.context import Context, Event, Listener, Stage
from pixelproof.study.fitting import check_settings
from pixelproof.study.growing import taken_up
from pixelproof.study.spec import Study
from pixelproof.study.training import clean, train

STAGES: Mapping[str, Stage] = MappingProxyType({"train": train, "clean": clean, "attack": attack})
SIGNATURE_STAGES: Mapping[str, Stage] = MappingProxyType(
    {
        "signatures": signatures.signatures,
        "critical pixels": critical.critical,
        "proximity to 0": critical.near_zero,
        "sanity": critical.sanity,
        "inside": penultimate.inside,
        "projection": penultimate.project,
        "detectors": signature_detectors.detect,
        "adaptive": signature_detectors.adaptive,
    }
)
PIXEL_STAGES: Mapping[str, Stage] = MappingProxyType(
    {
        "screen": one_pixel.screen,
        "twins": one_pixel.pixel_set,
        "survey": one_pixel.survey,
        "repair": repair.repair,
        "certificate": one_pixel.certify,
    }
)
GUARD_STAGES: Mapping[str, Stage] = MappingProxyType(
    {
        "guards": guarding.attack,
        "index": guarding.index,
        "tune": guarding.tune,
        "validate": guarding.validate,
        "examples of each case": witnessing.witness,
        "near-duplicates": duplicating.duplicates,
        "detector table": guard_table.compare,
    }
)
DEFENCE_STAGES: Mapping[str, Stage] = MappingProxyType(
    {
        "harden": hardening.harden,
        "budget": hardening.budget,
        "search": hardening.search,
        "harden what was found": hardening.harden,
        "resist": resisting.resist,
        "audit": resisting.audit,
    }
)
# The stages of a section run when a study has the section, in this order.
SECTION_STAGES: Mapping[str, Mapping[str, Stage]] = MappingProxyType(
    {"signatures": SIGNATURE_STAGES, "pixels": PIXEL_STAGES, "guards": GUARD_STAGES, "defences": DEFENCE_STAGES}
)


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
    wanted = dict(STAGES)
    for section, stages in SECTION_STAGES.items():
        wanted |= stages if getattr(study, section) is not None else {}
    for name, stage in wanted.items():
        started = time.perf_counter()
        try:
            stage(context)
            if name == "train":
                check_settings(context)
        finally:
            if not run.complete:
                run.spend(name, time.perf_counter() - started)
    if not run.complete:
        place = context.model.device
        facts = {"device": str(place), "native_bf16": models.native_bf16(place), "seconds": run.seconds}
        run.finish({**facts, "threads": torch.get_num_threads()})
    run.release()
    return run


__all__ = ["SECTION_STAGES", "STAGES", "Event", "Listener", "conduct"]
