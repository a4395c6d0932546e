"""The stage about detection by repair: how it does on twins and clean images, and against attacks that know it."""

from __future__ import annotations

import time

import torch

from pixelproof import data
from pixelproof.detect import Repair, RepairGuard, evade, figures
from pixelproof.draws import rng_of
from pixelproof.results import RepairRecord, catalogue
from pixelproof.study.context import Context
from pixelproof.study.spec import PixelSection
from pixelproof.types import Images, Mask, Rate

MOST = 8  # pixels that are repaired, those that stick out most; chosen on a tuning half (docs/pixel.md)
PORTION = 20  # images between two reports of progress
CALIBRATE = 40  # clean validation images that the p-values rest on; the alarm itself needs none


def repair(context: Context, section: PixelSection) -> RepairRecord:
    """Repair on the validation half and as many other correct test images; then evasion with one and two pixels."""
    seed = context.study.seed
    clean = catalogue.CLEAN.load(context.run)
    others = context.test[clean.predicted == clean.labels].sample(section.repair, seed + 1)
    half = catalogue.PIXEL_SET.load(context.run).half("validation")
    twins = half.only(torch.arange(len(half)) < section.repair)
    held = data.load(context.study.data.name, "val", context.root).sample(4 * CALIBRATE, seed)
    guard = Repair(rate=None, calibrate=CALIBRATE, most=MOST).fit(context.model, held, None, rng_of(seed))
    groups = {"twins": twins.found.images, "their clean images": twins.found.clean, "others": others.images}
    began, total = time.process_time(), sum(map(len, groups.values()))
    done, verdicts = 0, {}
    for name, images in groups.items():
        parts = []
        for part in torch.split(images, PORTION):
            parts.append(guard(context.model, part))
            done += len(part)
            context.tell("repair", done, total, name)
        verdicts[name] = {
            field: torch.cat([getattr(part, field) for part in parts])
            for field in ("alarm", "score", "located", "recovered")
        }
    seconds = (time.process_time() - began) / total
    caught, quiet, fresh = verdicts.values()
    tried = twins.only(torch.arange(len(twins)) < section.evade)
    evasions = [_evaded(context, guard, tried.found.clean, tried.found.labels, pixels) for pixels in (1, 2)]
    return RepairRecord(
        caught=_share(caught["alarm"]),
        false_alarms=_share(fresh["alarm"]),
        false_on_twins=_share(quiet["alarm"]),
        located=_share(caught["located"] == twins.position),
        restored=_share(caught["recovered"] == twins.found.labels),
        auroc=float(figures(fresh["score"], caught["score"], resamples=0).auroc),
        seconds=seconds,
        pixels=(1, 2),
        fooled=tuple(fooled for fooled, _ in evasions),
        unseen=tuple(unseen for _, unseen in evasions),
    )


def _evaded(
    context: Context, guard: RepairGuard, images: Images, labels: torch.Tensor, pixels: int
) -> tuple[Rate, Rate]:
    """How many images such an attack fools, and how many of all it fools unseen."""
    fooled, unseen = [], []
    for start in range(0, len(images), PORTION):
        part = slice(start, start + PORTION)
        found = evade(guard, context.model, images[part], labels[part], pixels=pixels)
        fooled.append(found.fooled)
        unseen.append(found.unseen)
        context.tell(f"evade repair with {pixels}", min(start + PORTION, len(images)), len(images))
    if not fooled:
        return Rate(0, 0), Rate(0, 0)
    return _share(torch.cat(fooled)), _share(torch.cat(unseen))


def _share(mask: Mask) -> Rate:
    return Rate(int(mask.sum()), len(mask))
