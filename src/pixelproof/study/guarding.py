"""The stages of paper 3: attacked images, an index of activations, the tuned alarm rule, and its verdicts."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from pixelproof import attacks
from pixelproof.attacks import AdversarialSet
from pixelproof.data import Dataset, stratified
from pixelproof.detect import Store, without_duplicates
from pixelproof.detect.neighbours.layers import default_layers
from pixelproof.detect.neighbours.tune import choose
from pixelproof.errors import BadInput
from pixelproof.measure.neighbours import verdicts
from pixelproof.results import NeighbourRecord, catalogue
from pixelproof.results.neighbours import CALIBRATION, CLEAN, Subject
from pixelproof.study.context import Context
from pixelproof.study.guard_section import PIXELS, GuardSection, attack_of
from pixelproof.study.training import load
from pixelproof.types import Mask

LEAST = 10  # successful attacks per half to tune and to judge on
APART = 7919  # added to the seed: samples drawn with the seed itself would all lie in the half
PORTION = 100  # images looked up between two reports of progress


def attack(context: Context, section: GuardSection) -> None:
    """Attack the section's images with every attack."""
    for number, spec in enumerate(section.attacks):
        if catalogue.SETS.has(context.run, attack=spec):
            continue
        which = f"guards: attack {spec} ({number + 1} of {len(section.attacks)})"
        catalogue.SETS.save(context.run, _attacked(context, spec, which), attack=spec)


def _attacked(context: Context, spec: str, which: str) -> AdversarialSet:
    if spec == PIXELS:
        return catalogue.PIXEL_SET.load(context.run).found
    return attacks.mount(
        attack_of(spec, wanted(context).eps),
        context.model,
        context.test.sample(wanted(context).n, context.study.seed),
        seed=context.study.seed,
        progress=partial(context.tell, which),
    )


def index(context: Context, section: GuardSection) -> None:
    """Index the training images' activations, and look up the neighbours of every state's images."""
    run = context.run
    states = (CALIBRATION, CLEAN, *section.attacks)
    missing = [state for state in states if not catalogue.NEIGHBOURS.has(run, state=state)]
    if not missing and (index_folder(context) / "store.safetensors").exists():
        return
    store = stored(context)
    for state in missing:
        subject = images_of(context, state)
        total = len(subject.index)
        parts = []
        for start in range(0, total, PORTION):
            part = subject.part(slice(start, start + PORTION))
            parts.append(NeighbourRecord.of(store, context.model, part, k=section.k))
            context.tell(f"index: neighbours, {state}", min(start + PORTION, total), total)
        catalogue.NEIGHBOURS.save(run, NeighbourRecord.joined(parts), state=state)


def tune(context: Context, section: GuardSection) -> None:
    """k and threshold of every layer, tuned on one half of the images and validated on the other, for every attack."""
    run = context.run
    clean = neighbours(context, CLEAN)
    for number, spec in enumerate(section.attacks):
        if not catalogue.TUNED.has(run, attack=spec):
            sides = []
            attacked = neighbours(context, spec)
            for half in (False, True):
                quiet = (held(context, clean.index) == half) & ~clean.wrong
                strange = (held(context, attacked.index) == half) & attacked.wrong
                sides.append((clean.counts(quiet), attacked.counts(strange)))
            few = min(len(counts) for pair in sides for counts in pair)
            if few >= LEAST:
                catalogue.TUNED.save(run, choose(clean.layers, *sides, seed=context.study.seed), attack=spec)
            elif spec == section.focus:
                expected = f"needs at least {LEAST} successful attacks and clean images in each half to tune on"
                do = "Raise n or eps in the study's [guards], or choose another focus."
                raise BadInput(f"tune, {spec}", expected, few, do)
        context.tell("tune", number + 1, len(section.attacks), spec)


def validate(context: Context, section: GuardSection) -> None:
    """What every layer says of every image, with the k and threshold tuned on the focus attack."""
    run = context.run
    states = (CLEAN, *section.attacks)
    for number, state in enumerate(states):
        if not catalogue.VERDICTS.has(run, state=state):
            record = neighbours(context, state)
            found = verdicts(
                record,
                neighbours(context, CALIBRATION),
                catalogue.TUNED.load(run, attack=section.focus),
                rate=section.rate,
                validation=held(context, record.index),
                tuned_on=section.focus,
            )
            catalogue.VERDICTS.save(run, found, state=state)
        context.tell("validate", number + 1, len(states), state)


def wanted(context: Context) -> GuardSection:
    """The study's section [guards]."""
    section = context.study.guards
    assert section is not None
    return section


def subjects(context: Context) -> Dataset:
    """The test images that are judged clean: a stratified sample, misclassified ones included."""
    section = wanted(context)
    return context.test.sample(section.clean or section.n, context.study.seed)


def held(context: Context, index: Tensor) -> Mask:
    """Which images of the test set, by their original position, belong to the half that nothing is tuned on."""
    test = context.test
    half = torch.isin(index, test.index[stratified(test.labels, len(test) // 2, context.study.seed + APART)])
    if PIXELS not in wanted(context).attacks:
        return half
    twins = catalogue.PIXEL_SET.load(context.run)  # it has halves of its own, which the other images join
    judging = torch.isin(index, twins.found.index[twins.validation])
    return torch.where(torch.isin(index, twins.found.index), judging, half)


def adversarial(context: Context, spec: str) -> AdversarialSet:
    """The images of one attack."""
    return catalogue.SETS.load(context.run, attack=spec)


def neighbours(context: Context, state: str) -> NeighbourRecord:
    """The neighbours of the images of one state."""
    return catalogue.NEIGHBOURS.load(context.run, state=state)


def images_of(context: Context, state: str) -> Subject:
    """The images of a state."""
    if state in (CLEAN, CALIBRATION):
        found = subjects(context) if state == CLEAN else quiet(context)
        return Subject(state, found.images, found.index, found.labels)
    attacked = adversarial(context, state)
    return Subject(state, attacked.images, attacked.index, attacked.labels, attacked.clean)


def quiet(context: Context) -> Dataset:
    """The validation images that set thresholds; the network's weights were not fitted on them."""
    return load(context, "val").sample(wanted(context).calibrate, context.study.seed)


def fitted(context: Context) -> Dataset:
    """The training images that detectors are fitted on."""
    return load(context, "train").sample(wanted(context).fit, context.study.seed)


def index_folder(context: Context) -> Path:
    """Where the index lies in the run."""
    return context.run.folder / "guards" / "index"


def training(context: Context) -> Dataset:
    """The training images that the index is made from."""
    section, found = wanted(context), load(context, "train")
    return found if section.index is None else found.sample(section.index, context.study.seed)


def built(context: Context, images: Dataset, what: str) -> Store:
    """A new index over some training images, in memory."""
    section = wanted(context)
    layers = section.layers or default_layers(context.model, rows=len(training(context)))
    return Store.build(
        context.model,
        images,
        layers,
        metric=section.metric,
        progress=lambda done, total: context.tell(what, done, total),
    )


def stored(context: Context) -> Store:
    """The index of the training images: the finished one in the run, else a new one; half-written ones are not read."""
    section, folder = wanted(context), index_folder(context)
    if (folder / "store.safetensors").exists():
        return Store.load(folder, context.model)
    images = training(context)
    if section.duplicates is not None:
        images = without_duplicates(images, section.duplicates)
    store = built(context, images, "index: activations")
    if section.k > len(store):
        expected = f"k must be at most {len(store)}, the correctly classified training images"
        raise BadInput("guards", expected, section.k, "Lower k, or give more images.")
    store.save(folder)
    return store
