"""conduct: a study's stages in order, each kept as soon as it is done, so that a killed run goes on where it was."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import torch

from pixelproof.run import Run
from pixelproof.study import detecting, explaining, inside, pixels
from pixelproof.study.attacking import attack
from pixelproof.study.context import Context, Event, Listener, Stage
from pixelproof.study.spec import Study
from pixelproof.study.training import clean, train

STAGES: Mapping[str, Stage] = MappingProxyType(
    {
        "train": train,
        "clean": clean,
        "attack": attack,
        "signatures": explaining.signatures,
        "critical pixels": pixels.critical,
        "sanity": pixels.sanity,
        "inside": inside.inside,
        "projection": inside.project,
        "detectors": detecting.detect,
        "adaptive": detecting.adaptive,
    }
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
    """
    run = Run.create(Path(folder), study.model_dump(mode="json"))
    if run.complete:
        return run
    context = Context(study, run, root, device, listener or (lambda event: None))
    seconds: dict[str, float] = {}
    for name, stage in STAGES.items():
        started = time.perf_counter()
        stage(context)
        seconds[name] = time.perf_counter() - started
    run.finish({"device": str(context.model.device), "seconds": seconds, "threads": torch.get_num_threads()})
    return run


__all__ = ["STAGES", "Event", "Listener", "conduct"]
