"""The stages of the section [defences] that judge: every row under every attack, mask off and on, and the audit."""

from __future__ import annotations

import time

import torch
from torch import Tensor

from pixelproof import attacks, defend, measure, prove, specs
from pixelproof.attacks import FGSM, PGD, Auto
from pixelproof.attacks.stochastic import descend, expect, fooling_rates
from pixelproof.data import Dataset, stratified
from pixelproof.defend import kept_features
from pixelproof.draws import seeded
from pixelproof.measure import Effort
from pixelproof.models import PREPROCESSORS, Classifier
from pixelproof.results import AuditRecord, HardenedRecord, catalogue
from pixelproof.study.context import Context
from pixelproof.study.defence_section import DefenceRow, DefenceSection
from pixelproof.study.hardening import jobs, opened, place, rows
from pixelproof.types import Goal

EFFORT = Effort(probes=100, draws=20, doubled=20, noisy=3, noise=1000, planted=5, inner=99, width=0.25)


def resist(context: Context, section: DefenceSection) -> None:
    """Every trained row under every attack, with its mask off at test and, where the row has one, on."""
    labels = context.test.labels
    places = jobs(context, section)
    for number, (net, row, seed) in enumerate(places):
        where = place(net, row, seed)
        if catalogue.HARDENED.has(context.run, **where):
            continue
        context.tell("resist", number, len(places), f"{net}, {row.name}, seed {seed}")
        eps = catalogue.BUDGETS.load(context.run, net=net).eps
        chosen = stratified(labels, min(section.size(net), len(labels)), context.study.seed)
        catalogue.HARDENED.save(context.run, judged(context, section, (net, row, seed), eps, chosen), **where)
    context.tell("resist", len(places), len(places))


def judged(
    context: Context, section: DefenceSection, job: tuple[str, DefenceRow, int], eps: float, rows: Tensor
) -> HardenedRecord:
    """One trained row, attacked."""
    (net, row, seed), test = job, context.test
    model, sample = opened(context, net, row, seed), context.test[rows]
    started = time.process_time()
    predicted = torch.cat([model.predict(part.images).argmax(1) for part in test.batches(1000)])
    spent = (time.process_time() - started) / len(test)
    held = {"clean": (predicted[rows] == sample.labels).float()}
    at = (context.study.seed + seed) % 2**63
    seen = expect(model, section.draws) if model.card.stochastic else model
    held["fgsm"] = standing(attacks.mount(FGSM(eps), seen, sample, seed=at), sample)
    for size in (eps, *section.also):
        mark = "" if size == eps else f"@{size:g}"
        held[f"pgd{mark}"] = standing(attacks.mount(PGD(size, steps=section.steps), seen, sample, seed=at), sample)
        found = measure.evaluate(model, sample, Auto(size), seed=at)
        held[f"auto{mark}"] = standing(found, sample)
    if row.test:
        held |= masked(specs.parse(row.test, PREPROCESSORS, "preprocessor").around(model), sample, eps, section, at)
    bounded = any(spec.partition(":")[0] == "ibp" for spec in row.specs) and prove.has_bounds(model)
    tensors = list(model.parameters())
    return HardenedRecord(
        net=net,
        row=row.name,
        seed=seed,
        defences=row.specs,
        eps=eps,
        cpu_seconds=model.card.cost or 0.0,
        history=catalogue.HARDENED_HISTORY.load(context.run, **place(net, row, seed)),
        parameters=sum(tensor.numel() for tensor in tensors),
        size_bytes=sum(tensor.numel() * tensor.element_size() for tensor in tensors),
        seconds_per_image=spent,
        features=kept_features(model),
        labels=test.labels,
        predicted=predicted,
        rows=rows,
        held=held,
        certified=float(prove.certified(model, sample, eps)) if bounded else None,
    )


def masked(model: Classifier, sample: Dataset, eps: float, section: DefenceSection, seed: int) -> dict[str, Tensor]:
    """What holds with a mask on at test: clean, one naive FGSM step, FGSM and PGD in expectation over masks."""
    images, goal = sample.images, Goal(sample.labels)
    random = model.card.stochastic
    mean, scored = (expect(model, section.draws), section.scored) if random else (model, 1)
    held = {}
    with seeded(seed):
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


def standing(found: attacks.AdversarialSet | measure.Evaluation, sample: Dataset) -> Tensor:
    """1 for each image of the sample that is right and was not fooled."""
    return torch.isin(sample.index, found.index[~found.success]).float()


def audit(context: Context, section: DefenceSection) -> None:
    """What the audit says of every row, first seed, at its network's eps; attacks are transferred from its baseline.

    A row with a mask on at test is audited twice: as it was trained, and with that mask on.
    """
    sample = context.test.sample(section.audit, context.study.seed)
    places = [(net, row, on) for net in section.nets for row in rows(context, section, net) for on in row.sides]
    for number, (net, row, mask_on) in enumerate(places):
        kind = catalogue.audits(mask_on)
        if kind.has(context.run, net=net, row=row.name):
            continue
        context.tell("audit", number, len(places), f"{net}, {row.name}{', mask on' if mask_on else ''}")
        eps = catalogue.BUDGETS.load(context.run, net=net).eps
        model = opened(context, net, row, 0)
        first = section.rows[0]
        said = measure.audit(
            specs.parse(row.test, PREPROCESSORS, "preprocessor").around(model) if mask_on else model,
            sample,
            eps=eps,
            trained_with=defend.trained_with(defend.parse(row.specs)),
            surrogate=opened(context, net, first, 0) if row.name != first.name else None,
            effort=EFFORT,
            seed=context.study.seed,
        )
        raised = tuple(flag.name for flag in said.raised)
        verdict = AuditRecord(net, row.name, len(sample), eps, said.verdict, said.believable, raised, mask_on)
        kind.save(context.run, verdict, net=net, row=row.name)
    context.tell("audit", len(places), len(places))
