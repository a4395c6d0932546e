"""The stages about critical pixels: rankings, curves, confined attacks, both tests with their null run, and checks."""

from __future__ import annotations

from itertools import combinations

import torch
from torch import Tensor

from pixelproof import attacks
from pixelproof.attacks import AdversarialSet
from pixelproof.draws import Draws, rng_of
from pixelproof.errors import BadInput
from pixelproof.explain import (
    Attribution,
    CriticalPixels,
    DeepShap,
    PixelCurve,
    critical_pixels,
    curves,
    held_out_test,
    jaccard,
    null_run,
    pixel_test,
    pooled_test,
    proximity,
    randomisation,
    rankings,
    twin_run,
)
from pixelproof.explain.proximity import Proximity
from pixelproof.models import frozen
from pixelproof.results import Confined, CriticalRecord, FixedClass, Histogram, SanityRecord
from pixelproof.study.context import Context
from pixelproof.study.signatures import TRUE, TRUE_NOISE, background, going_on, maps, twins
from pixelproof.study.spec import SignatureSection
from pixelproof.study.training import retrained
from pixelproof.types import Goal, Mask, Rate

LEAST = 20  # fooled images below which shares and tests mean nothing
NULL_RUNS = 200
CONFINED_STEPS = 20
DRAWS = 4
SANITY_IMAGES = 60


def critical(context: Context, section: SignatureSection) -> CriticalRecord:
    """Everything about the critical pixels of the focus attack's successes."""
    found, clean, attacked = twins(context, section.focus), maps(context, "clean"), maps(context, section.focus)
    fooled = found.success
    if int(fooled.sum()) < LEAST:
        do = "Raise n or eps in the study's [signatures], or focus on another attack."
        expected = f"needs at least {LEAST} images that {section.focus} fools"
        raise BadInput("critical pixels", expected, int(fooled.sum()), do)
    before, after = _rows(clean, fooled), _rows(attacked, fooled)
    k, seed = section.critical, context.study.seed
    senses = {s: critical_pixels(before, after, sense=s, k=k) for s in ("generation", "detection")}
    change = (after.values - before.values).sum(1)
    generator = rng_of(seed)
    pooled = pooled_test(change, k)
    context.tell("critical pixels", 1, 5, "null runs")
    null = null_run(clean.values.sum(1), k, runs=NULL_RUNS, rng=generator)
    fixed = _fixed(context, fooled, k, generator)
    context.tell("critical pixels", 2, 5, "repair and insertion curves")
    shown, scores = _curves(context, section, section.focus)
    deep = going_on(section)
    context.tell("critical pixels", 3, 5, "the same without early stop")
    deeper = _curves(context, section, deep)[0] if deep else ()
    context.tell("critical pixels", 4, 5, "attacks confined to critical pixels")
    pixels = change.mean(0).abs().flatten().argsort(descending=True)
    record = CriticalRecord(
        attack=section.focus,
        deep=deep,
        eps=section.eps,
        seed=seed,
        k=k,
        n=int(fooled.sum()),
        generation=senses["generation"].scores.mean(0),
        detection=senses["detection"].scores.mean(0),
        shared=jaccard(senses["generation"].per_image, senses["detection"].per_image),
        concentration=torch.stack([_concentration(sense) for sense in senses.values()]),
        curves=shown,
        deep_curves=deeper,
        confined=tuple(_confined(context, section, found, scores)),
        pooled=pooled,
        histogram=Histogram.of(change.abs().flatten(1)[:, pixels[:k]], change.abs().flatten(1)[:, pixels[k:]]),
        held_out=held_out_test(change, k, generator),
        fixed=fixed,
        null=null,
        pixels=pixel_test(change, generator),
    )
    context.tell("critical pixels", 5, 5)
    return record


def _fixed(context: Context, fooled: Mask, k: int, generator: torch.Generator) -> FixedClass:
    """The held-out test on maps of the true class, under the attack and under noise of equal size."""
    before = maps(context, "clean").values[fooled].sum(1)  # of the true class, for the clean images are right
    attacked, noisy = (maps(context, state).values[fooled].sum(1) - before for state in (TRUE, TRUE_NOISE))
    return FixedClass(
        attacked=held_out_test(attacked, k, generator),
        noisy=held_out_test(noisy, k, generator),
        noise_runs=twin_run(noisy, k, runs=NULL_RUNS, rng=generator),
    )


def _curves(context: Context, section: SignatureSection, spec: str) -> tuple[tuple[PixelCurve, ...], dict[str, Tensor]]:
    """Repair and insertion curves of one attack's successes, and the scores of every ranking behind them."""
    found, clean, attacked = twins(context, spec), maps(context, "clean"), maps(context, spec)
    fooled = found.success
    draws = Draws.keyed(context.study.seed, found.index[fooled])
    before, after = _rows(clean, fooled), _rows(attacked, fooled)
    scores = rankings((found.clean[fooled], before), (found.images[fooled], after), draws)
    shown = curves(
        context.model,
        found.clean[fooled],
        found.images[fooled],
        found.labels[fooled],
        scores=scores,
        sizes=[0, *section.k],
        rng=rng_of(context.study.seed),
    )
    return tuple(shown), scores


def _rows(maps: Attribution, rows: Tensor) -> Attribution:
    return Attribution(maps.values[rows], maps.classes[rows], maps.base[rows], maps.gap[rows])


def _concentration(found: CriticalPixels) -> Tensor:
    """The mean share of an image's whole score that its first k pixels carry."""
    ordered = found.scores.flatten(1).sort(dim=1, descending=True).values
    return (ordered[:, : found.k].sum(1) / ordered.sum(1).clamp_min(1e-12)).mean()


def _confined(
    context: Context, section: SignatureSection, found: AdversarialSet, scores: dict[str, Tensor]
) -> list[Confined]:
    """How often an attack that may only change the first k pixels of a ranking fools the same images."""
    clean, labels = found.clean[found.success], found.labels[found.success]
    goal = Goal(labels.to(context.model.device))
    done = []
    for ranking, table in scores.items():
        order = table.flatten(1).argsort(dim=1, descending=True, stable=True)
        mask = torch.zeros_like(table.flatten(1), dtype=torch.bool)
        mask.scatter_(1, order[:, : section.critical], True)
        with frozen(context.model):
            moved = attacks.confined(
                context.model,
                clean.to(context.model.device),
                goal,
                mask.view_as(table),
                eps=section.eps,
                steps=CONFINED_STEPS,
            )
        wrong = context.model.predict(moved.cpu()).argmax(1) != labels
        done.append(Confined(ranking, section.critical, Rate(int(wrong.sum()), len(wrong))))
    own = attacks.Critical(section.eps, section.critical, CONFINED_STEPS)
    with frozen(context.model):
        moved = own(context.model, clean.to(context.model.device), goal, torch.Generator())
    wrong = context.model.predict(moved.cpu()).argmax(1) != labels
    return [*done, Confined("critical (the attack's own)", section.critical, Rate(int(wrong.sum()), len(wrong)))]


def near_zero(context: Context, section: SignatureSection) -> Proximity:
    """Paper 1's Table II on the clean images: do pixels with signatures near 0 matter less than those far from it?"""
    found, explained = twins(context, section.focus), maps(context, "clean")
    draws = Draws.keyed(context.study.seed, found.index)
    backgrounds = background(context)
    measured = proximity(context.model, found.clean, explained, backgrounds, k=section.critical, draws=draws)
    context.tell("proximity to 0", 1, 1)
    return measured


def sanity(context: Context, section: SignatureSection) -> SanityRecord:
    """Do the signatures depend on the model, and how stable are they over backgrounds and over retrained models?"""
    found = twins(context, section.focus)
    images, labels = found.clean[:SANITY_IMAGES], found.labels[:SANITY_IMAGES]
    generator = rng_of(context.study.seed)
    k = section.critical
    steps = DRAWS + section.models + 1
    first = []
    for draw in range(DRAWS):
        explained = DeepShap(background(context, draw))(context.model, images, None, generator)
        first.append(critical_pixels(explained, explained, sense="generation", k=k).per_image)
        context.tell("sanity", draw + 1, steps, "other backgrounds")
    right, places = torch.ones(len(images), dtype=torch.bool), [first[0]]
    for number in range(1, section.models + 1):
        other = retrained(context, "sanity", number)
        right &= other.predict(images).argmax(1) == labels
        explained = DeepShap(background(context))(other, images, labels, generator)
        places.append(critical_pixels(explained, explained, sense="generation", k=k).per_image)
        context.tell("sanity", DRAWS + number, steps, "other models")
    over = [jaccard(ours, theirs)[right] for ours, theirs in combinations(places, 2)]
    pixels = images[0, 0].numel()
    record = SanityRecord(
        n=len(images),
        k=k,
        background=section.background,
        draws=DRAWS,
        stability=torch.stack([jaccard(ours, theirs) for ours, theirs in combinations(first, 2)]),
        models=len(places),
        models_n=int(right.sum()),
        over_models=torch.stack(over) if over else None,
        chance=k / (2 * pixels - k),
        randomisation=randomisation(
            DeepShap(background(context)), context.model, images, generator, k=k, seed=context.study.seed
        ),
    )
    context.tell("sanity", steps, steps)
    return record
