"""The stages of the section [defences]: train every row, find eps, attack with and without the mask, search, audit."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pixelproof import attacks, defend, measure, models, specs
from pixelproof.attacks import FGSM, PGD, Auto
from pixelproof.attacks.stochastic import descend, expect, fooling_rates
from pixelproof.data import Dataset, stratified
from pixelproof.defend import Hardening, kept_features
from pixelproof.errors import BadInput
from pixelproof.measure import BudgetRecord, Effort, HardenedRecord, SearchRecord, VerdictOfAudit
from pixelproof.models import FRONTS, Card, Classifier, History, Training, suited
from pixelproof.models.nets import build
from pixelproof.run import slug
from pixelproof.study.context import Context
from pixelproof.study.defence_section import DefenceRow, DefenceSection
from pixelproof.study.training import load
from pixelproof.types import Goal

BISECTIONS = 12
CALIBRATION = 2000  # test images on which eps is found
SHARPNESS = 1e-4  # in eps; finer than one 8-bit step by far
ADVERSARIES = ("fgsm-rs", "pgd-at", "trades")
EFFORT = Effort(probes=100, draws=20, doubled=20, noisy=3, noise=1000, planted=5, inner=99, width=0.25)


def harden(context: Context) -> None:
    """Every row on every network from every seed; each model is kept."""
    section = wanted(context)
    train, validation = load(context, "train"), load(context, "val")
    places = list(jobs(section))
    for number, (net, row, seed) in enumerate(places):
        path, note = place(net, row, seed), f"defences/history/{slug(net)}/{slug(row.name)}-{seed}"
        if context.run.has(note):
            continue
        context.tell("harden", number, len(places), f"{net}, {row.name}, seed {seed}")
        settings = trainer(context, row, net, len(train), seed)
        model, history, spent = trained(row, net, train, validation, settings)
        models.save(model.carrying(cost=spent), context.run.path(path))
        context.run.save(note, history)
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
    return replace(settings, seed=context.study.seed + seed)


def budget(context: Context) -> None:
    """The eps at which FGSM leaves the baseline of each network the wanted accuracy, on up to 2000 test images."""
    section = wanted(context)
    for net in section.nets:
        name = f"defences/budget/{slug(net)}"
        if context.run.has(name):
            continue
        model = opened(context, net, section.rows[0], 0)
        low, high = 0.0, 1.0
        tried: list[float] = []
        reached: list[float] = []
        images = context.test.sample(min(CALIBRATION, len(context.test)), context.study.seed)
        while len(tried) < BISECTIONS and high - low > SHARPNESS:
            eps = (low + high) / 2 if tried else 0.1
            found = attacks.mount(FGSM(eps), model, images)
            value = float(found.overall_accuracy)
            tried.append(eps)
            reached.append(value)
            low, high = (eps, high) if value > section.calibrate else (low, eps)
            context.tell("budget", len(tried), BISECTIONS, f"{net}: {value:.3f} at eps {eps:.4f}")
        best = min(range(len(tried)), key=lambda k: abs(reached[k] - section.calibrate))
        n = len(images)
        record = BudgetRecord(net, section.calibrate, tried[best], reached[best], n, tuple(tried), tuple(reached))
        context.run.save(name, record)


def resist(context: Context) -> None:
    """Every trained row under every attack, with its mask off at test and, where the row has one, on."""
    section = wanted(context)
    rows = stratified(context.test.labels, min(section.n, len(context.test)), context.study.seed)
    places = list(jobs(section))
    for number, (net, row, seed) in enumerate(places):
        name = f"defences/rows/{slug(net)}/{slug(row.name)}-{seed}"
        if context.run.has(name):
            continue
        context.tell("resist", number, len(places), f"{net}, {row.name}, seed {seed}")
        eps = context.run.load(f"defences/budget/{slug(net)}", BudgetRecord).eps
        context.run.save(name, judged(context, net, row, seed, eps, rows))
    context.tell("resist", len(places), len(places))


def judged(context: Context, net: str, row: DefenceRow, seed: int, eps: float, rows: Tensor) -> HardenedRecord:
    """One trained row, attacked."""
    section, test = wanted(context), context.test
    model, sample = opened(context, net, row, seed), context.test[rows]
    started = time.process_time()
    predicted = torch.cat([model.predict(part.images).argmax(1) for part in test.batches(1000)])
    spent = (time.process_time() - started) / len(test)
    held = {"clean": (predicted[rows] == sample.labels).float()}
    at = context.study.seed + seed
    held["fgsm"] = standing(attacks.mount(FGSM(eps), model, sample, seed=at), sample)
    for size in (eps, *section.also):
        mark = "" if size == eps else f"@{size:g}"
        held[f"pgd{mark}"] = standing(attacks.mount(PGD(size, steps=section.steps), model, sample, seed=at), sample)
        found = measure.evaluate(model, sample, Auto(size), seed=at)
        held[f"auto{mark}"] = torch.isin(sample.index, found.index[~found.success]).float()
    if row.test:
        held |= masked(specs.parse(row.test, FRONTS, "front").around(model), sample, eps, section, at)
    ibp = not model.card.fronts and any(spec.partition(":")[0] == "ibp" for spec in row.specs)
    tensors = list(model.parameters())
    return HardenedRecord(
        net=net,
        row=row.name,
        seed=seed,
        defences=row.specs,
        eps=eps,
        cpu_seconds=model.card.cost or 0.0,
        history=context.run.load(f"defences/history/{slug(net)}/{slug(row.name)}-{seed}", History),
        parameters=sum(tensor.numel() for tensor in tensors),
        size_bytes=sum(tensor.numel() * tensor.element_size() for tensor in tensors),
        seconds_per_image=spent,
        features=kept_features(model),
        labels=test.labels,
        predicted=predicted,
        rows=rows,
        held=held,
        certified=float(defend.certified(model, sample, eps)) if ibp else None,
    )


def masked(model: Classifier, sample: Dataset, eps: float, section: DefenceSection, seed: int) -> dict[str, Tensor]:
    """What holds with a mask on at test: clean, one naive FGSM step, FGSM and PGD in expectation over masks."""
    images, goal = sample.images, Goal(sample.labels)
    random = model.card.stochastic
    mean, scored = (expect(model, section.draws), section.scored) if random else (model, 1)
    held = {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        tries = {
            "on:clean": images,
            "on:naive fgsm": in_parts(model, images, goal, eps, 1),
            "on:fgsm + eot": in_parts(mean, images, goal, eps, 1),
            "on:pgd + eot": in_parts(mean, images, goal, eps, section.steps),
        }
        for name, moved in tries.items():
            held[name] = 1 - fooling_rates(model, moved, goal, draws=scored).per_image
    return held


def in_parts(model: Classifier, images: Tensor, goal: Goal, eps: float, steps: int, batch: int = 50) -> Tensor:
    """`descend` on a few images at a time: an expectation multiplies them by its draws."""
    starts = range(0, len(images), batch)
    parts = [slice(start, start + batch) for start in starts]
    return torch.cat([descend(model, images[part], goal[part], eps=eps, steps=steps) for part in parts])


def standing(found: attacks.AdversarialSet, sample: Dataset) -> Tensor:
    """1 for each image of the sample that is right and was not fooled."""
    return torch.isin(sample.index, found.index[~found.success]).float()


def search(context: Context) -> None:
    """Masks and training settings drawn at random; judged on validation images, clean and under PGD."""
    section, run = wanted(context), context.run
    asked, net = section.search, section.nets[0]
    if asked is None or run.has("defences/search"):
        return
    eps = run.load(f"defences/budget/{slug(net)}", BudgetRecord).eps
    train = load(context, "train")
    train = train.sample(asked.train, context.study.seed)
    validation = load(context, "val")
    few = validation.sample(asked.n, context.study.seed)
    rng = np.random.default_rng(context.study.seed)
    found: list[tuple[str, str, float, float, float]] = []
    for number in range(asked.trials):
        mask, settings = drawn(rng, asked.epochs, context.study.seed)
        context.tell("search", number, asked.trials, mask)
        row = DefenceRow(name=f"trial {number}", specs=(mask,))
        model, _, spent = trained(row, net, train, validation, settings)
        clean = float((model.predict(few.images).argmax(1) == few.labels).float().mean())
        robust = float(standing(attacks.mount(PGD(eps, steps=20), model, few), few).mean())
        found.append((mask, specs.write(settings), clean, robust, spent))
    masks, trainings, clean_, robust_, spent_ = zip(*found, strict=True)
    values = torch.tensor(clean_), torch.tensor(robust_)
    gain = (1 - section.weight) * values[0] + section.weight * values[1]
    run.save(
        "defences/search",
        SearchRecord(net, eps, len(few), masks, trainings, *values, gain, torch.tensor(spent_)),
    )


def drawn(rng: np.random.Generator, epochs: int, seed: int) -> tuple[str, Training]:
    """One random mask and training: ratio, pattern, fill, variability, learning rate and batch size."""
    pattern = str(rng.choice(["random", "random", "block", "fixed"]))
    fill = str(rng.choice(["0", "0.5", "noise"]))
    variability = f",variability={rng.choice([0.25, 0.5, 1.0])}" if pattern == "random" else ""
    mask = f"mask:ratio={rng.uniform(0.05, 0.6):.2f},fill={fill},when=train,pattern={pattern}{variability}"
    rate = float(np.exp(rng.uniform(np.log(5e-4), np.log(5e-3))))
    settings = Training(epochs=epochs, batch=int(rng.choice([64, 128, 256])), learning_rate=round(rate, 5), seed=seed)
    return mask, settings


def audit(context: Context) -> None:
    """What the audit says of every row of the first network, at its eps; attacks are transferred from the baseline."""
    section = wanted(context)
    if not section.audit:
        return
    net = section.nets[0]
    eps = context.run.load(f"defences/budget/{slug(net)}", BudgetRecord).eps
    sample = context.test.sample(section.audit, context.study.seed)
    rows = [row for row in section.rows if not row.nets or net in row.nets]
    baseline = opened(context, net, section.rows[0], 0)
    for number, row in enumerate(rows):
        name = f"defences/audit/{slug(row.name)}"
        if context.run.has(name):
            continue
        context.tell("audit", number, len(rows), row.name)
        model = opened(context, net, row, 0)
        trained_with = next(
            (spec for spec in row.specs if spec.partition(":")[0] in ("fgsm-rs", "pgd-at", "trades")), None
        )
        said = measure.audit(
            model,
            sample,
            eps=eps,
            trained_with=trained_with,
            surrogate=baseline if number else None,
            effort=EFFORT,
            seed=context.study.seed,
        )
        raised = tuple(flag.name for flag in said.raised)
        verdict = VerdictOfAudit(net, row.name, len(sample), eps, said.verdict, said.believable, raised)
        context.run.save(name, verdict)


def jobs(section: DefenceSection) -> list[tuple[str, DefenceRow, int]]:
    """Every network, row and seed, in order; the baseline's first seed comes before all."""
    return [
        (net, row, seed)
        for net in section.nets
        for seed in range(section.seeds)
        for row in section.rows
        if not row.nets or net in row.nets
    ]


def opened(context: Context, net: str, row: DefenceRow, seed: int) -> Classifier:
    """A row's trained model from the run."""
    return models.open_saved(context.run.path(place(net, row, seed)), context.device)


def place(net: str, row: DefenceRow, seed: int) -> str:
    """Where a row's model is kept."""
    return str(Path("defences", "models", slug(net), f"{slug(row.name)}-{seed}"))


def wanted(context: Context) -> DefenceSection:
    """The section; its stages run only when there is one."""
    section = context.study.defences
    if section is None:
        raise BadInput("study", "needs a section [defences]", "none")
    return section
