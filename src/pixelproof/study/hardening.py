"""The stages of the section [defences] that train: every row, eps on the baseline, and a search for a better mask."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import torch

from pixelproof import attacks, defend, models, specs
from pixelproof.attacks import FGSM
from pixelproof.data import Dataset
from pixelproof.defend import Hardening
from pixelproof.draws import numpy_rng
from pixelproof.models import Card, Classifier, History, Training, suited
from pixelproof.models.nets import build
from pixelproof.results import BudgetRecord, SearchRecord, catalogue
from pixelproof.study.context import Context
from pixelproof.study.defence_section import DefenceRow, DefenceSection
from pixelproof.study.training import load

BISECTIONS = 12
CALIBRATION = 2000  # validation images on which eps is found
SEARCHED = "pgd:steps=20"  # the attack that judges a trial of the search
SHARPNESS = 1e-4  # in eps; finer than one 8-bit step by far


def harden(context: Context, section: DefenceSection) -> None:
    """Every row on every network from every seed; each model is kept. A searched row waits for the search."""
    train, validation = load(context, "train"), load(context, "val")
    places = jobs(context, section)
    for number, (net, row, seed) in enumerate(places):
        where = place(net, row, seed)
        if catalogue.HARDENED_HISTORY.has(context.run, **where):
            continue
        context.tell("harden", number, len(places), f"{net}, {row.name}, seed {seed}")
        settings = trainer(context, row, net, len(train), seed)
        model, history, spent = trained(row, net, train, validation, settings)
        models.save(model.carrying(cost=spent), catalogue.HARDENED_MODEL.path(context.run, **where))
        catalogue.HARDENED_HISTORY.save(context.run, history, **where)
    context.tell("harden", len(places), len(places))


def trained(
    row: DefenceRow, net: str, train: Dataset, validation: Dataset, settings: Training
) -> tuple[Classifier, History, float]:
    """A network trained with a row's defences, its history and CPU seconds."""
    card = Card(name=net, classes=train.classes, input_shape=train.shape)
    model = Classifier(build(net, train.shape, len(train.classes), settings.seed), card)
    if row.specs:
        found = Hardening(defend.parse(row.specs), settings).conduct(
            model, train, validation=validation, seed=settings.seed
        )
        return found.model, found.histories[0], found.cpu_seconds
    started = time.process_time()
    history = models.train(model, train, validation, settings)
    return model, history, time.process_time() - started


def trainer(context: Context, row: DefenceRow, net: str, images: int, seed: int) -> Training:
    """The study's training settings with those of the row, at a seed."""
    base = context.study.training
    text = ",".join(part for part in (base, row.training) if part)
    settings = suited(net, images)
    for part in (base, row.training) if text else ():
        given = specs.given(f"training:{part}", {"training": Training})
        settings = replace(settings, **given)
    return replace(settings, seed=(context.study.seed + seed) % 2**63)


def budget(context: Context, section: DefenceSection) -> None:
    """The eps at which FGSM leaves the baseline of each network the wanted accuracy, on up to 2000 validation images.

    The search below uses this eps, so no test image may have a say in it.
    """
    validation = load(context, "val")
    images = validation.sample(min(CALIBRATION, len(validation)), context.study.seed)
    for net in section.nets:
        if catalogue.BUDGETS.has(context.run, net=net):
            continue
        model = opened(context, net, section.rows[0], 0)
        low, high = 0.0, 1.0
        tried: list[float] = []
        reached: list[float] = []
        while len(tried) < BISECTIONS and high - low > SHARPNESS:
            eps = round((low + high) / 2, 8) if tried else 0.1
            found = attacks.mount(FGSM(eps), model, images)
            value = float(found.robust_accuracy)
            tried.append(eps)
            reached.append(value)
            low, high = (eps, high) if value > section.calibrate else (low, eps)
            context.tell("budget", len(tried), BISECTIONS, f"{net}: {value:.3f} at eps {eps:.4f}")
        best = min(range(len(tried)), key=lambda k: abs(reached[k] - section.calibrate))
        n = len(images)
        record = BudgetRecord(net, section.calibrate, tried[best], reached[best], n, tuple(tried), tuple(reached))
        catalogue.BUDGETS.save(context.run, record, net=net)


def search(context: Context, section: DefenceSection) -> SearchRecord:
    """Masks and training settings drawn at random; judged on validation images, clean and under PGD.

    Each trial is one network of the section's first kind, from one seed, trained on a part of the training images.
    """
    asked, net = section.search, section.nets[0]
    assert asked is not None  # the stage is left out without
    eps = catalogue.BUDGETS.load(context.run, net=net).eps
    train = load(context, "train")
    train = train.sample(asked.train, context.study.seed)
    validation = load(context, "val")
    few = validation.sample(asked.n, context.study.seed)
    rng = numpy_rng(context.study.seed)
    found: list[tuple[str, str, float, float, float]] = []
    for number in range(asked.trials):
        mask, settings = drawn(rng, asked.epochs, context.study.seed)
        context.tell("search", number, asked.trials, mask)
        row = DefenceRow(name=f"trial {number}", specs=(mask,))
        model, _, spent = trained(row, net, train, validation, settings)
        clean = float((model.predict(few.images).argmax(1) == few.labels).float().mean())
        robust = float(attacks.mount(attacks.parse(SEARCHED, eps=eps), model, few).robust_accuracy)
        found.append((mask, specs.write(settings), clean, robust, spent))
    masks, trainings, clean_, robust_, spent_ = zip(*found, strict=True)
    values = torch.tensor(clean_), torch.tensor(robust_)
    gain = (1 - section.weight) * values[0] + section.weight * values[1]
    return SearchRecord(net, eps, len(few), masks, trainings, *values, gain, torch.tensor(spent_), SEARCHED)


def drawn(rng: np.random.Generator, epochs: int, seed: int) -> tuple[str, Training]:
    """One random mask and training: ratio, pattern, fill, variability, learning rate and batch size."""
    pattern = str(rng.choice(["random", "random", "block", "fixed"]))
    fill = str(rng.choice(["0", "0.5", "noise"]))
    variability = f",variability={rng.choice([0.25, 0.5, 1.0])}" if pattern == "random" else ""
    mask = f"mask:ratio={rng.uniform(0.05, 0.6):.2f},fill={fill},when=train,pattern={pattern}{variability}"
    rate = float(np.exp(rng.uniform(np.log(5e-4), np.log(5e-3))))
    settings = Training(epochs=epochs, batch=int(rng.choice([64, 128, 256])), learning_rate=round(rate, 5), seed=seed)
    return mask, settings


def rows(context: Context, section: DefenceSection, net: str) -> list[DefenceRow]:
    """The rows of a network; a searched one, of the network searched on, has what the search found, once there is."""
    run = context.run
    own = [row for row in section.own(net) if not row.searched]
    if not catalogue.SEARCH.has(run):
        return own
    record = catalogue.SEARCH.load(run)
    best = int(record.utility.argmax())
    found = specs.parse(record.trainings[best], {"training": Training})
    text = f"batch={found.batch},learning_rate={found.learning_rate:g}"
    given = {"specs": (record.specs[best],), "training": text}
    return own + [row.model_copy(update=given) for row in section.own(net) if row.searched and net == record.net]


def jobs(context: Context, section: DefenceSection) -> list[tuple[str, DefenceRow, int]]:
    """Every network, row and seed, in order; the baseline's first seed comes before all."""
    seeds = range(section.seeds)
    return [(net, row, seed) for net in section.nets for seed in seeds for row in rows(context, section, net)]


def opened(context: Context, net: str, row: DefenceRow, seed: int) -> Classifier:
    """A row's trained model from the run."""
    return models.open_saved(catalogue.HARDENED_MODEL.path(context.run, **place(net, row, seed)), context.device)


def place(net: str, row: DefenceRow, seed: int) -> dict[str, str | int]:
    """What names a row's model in a run, its training, and what was measured of it."""
    return {"net": net, "row": row.name, "seed": seed}
