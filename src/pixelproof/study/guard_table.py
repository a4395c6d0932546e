"""The stage of the detector table: every detector against every attack, and attacks that know the detector."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import torch

from pixelproof import specs
from pixelproof.data import Dataset
from pixelproof.detect import (
    DETECTORS,
    AdaptiveResult,
    DeepNeighbours,
    Guard,
    Store,
    adapt,
    adapt_pixel,
    divide,
    figures,
    parse,
)
from pixelproof.detect.building import fit
from pixelproof.detect.evaluation.evaluate import on_attack, on_clean, summary
from pixelproof.detect.guards.guard import Recalibrated, Verdict
from pixelproof.draws import rng_of
from pixelproof.measure.guards import known
from pixelproof.results import GuardRecord, Judgement, KnownRecord, Result, catalogue
from pixelproof.results.neighbours import CLEAN
from pixelproof.study.context import Context
from pixelproof.study.guard_section import PIXELS, GuardSection
from pixelproof.study.guarding import adversarial, fitted, held, quiet, stored, subjects, wanted
from pixelproof.types import Mask


@runtime_checkable
class Making(Protocol):
    """How a detector's guard is made for a study."""

    @property
    def fitted_on(self) -> str:
        """The attack it was tuned on, empty for a detector that sees clean images only."""
        ...

    def __call__(self, context: Context, store: Store) -> Guard:
        """The fitted and calibrated guard."""
        ...


@dataclass(frozen=True)
class LayerRule:
    """The alarm rule of one layer or the composed one, with the k that the study tuned and a clean threshold."""

    layer: str
    k: int
    fitted_on: str

    def __call__(self, context: Context, store: Store) -> Guard:
        """The guard on the study's index."""
        own = store.only(self.layer) if self.layer in store.layers else store
        detector = DeepNeighbours(k=self.k, rate=wanted(context).rate)
        return detector.on(own, context.model, divide(quiet(context), _generator(context), share=0.5))


@dataclass(frozen=True)
class Spec:
    """The detector that a spec string names, fitted on training images and calibrated on validation images."""

    spec: str
    fitted_on: str = ""

    def __call__(self, context: Context, store: Store) -> Guard:
        """The guard; neighbours use the study's index unless they ask for other layers, another metric or engine."""
        detector, section = parse(self.spec), wanted(context)
        calm = quiet(context)
        if isinstance(detector, DeepNeighbours):
            shared = {"layers": store.layers, "metric": section.metric, "duplicates": section.duplicates}
            settings = shared | specs.given(self.spec, DETECTORS, "detector") | {"rate": section.rate}
            detector = replace(detector, **settings)
            if detector.engine == "exact" and all(settings[key] == kept for key, kept in shared.items()):
                return detector.on(store, context.model, divide(calm, _generator(context), share=0.5))
        return fit(detector, context.model, (fitted(context), calm), rate=section.rate, rng=_generator(context))


def compare(context: Context, section: GuardSection) -> None:
    """Fit every detector, judge it on the half that nothing was tuned on, and attack it with its own knowledge."""
    run = context.run
    found = detectors(context)
    pixel = bool(section.adaptive) and PIXELS in section.attacks
    store: Store | None = None
    for number, (name, make) in enumerate(found.items()):
        asked_for: dict[Result[Any], bool] = {
            catalogue.DETECTORS: True,
            catalogue.KNOWN: bool(section.adaptive),
            catalogue.KNOWN_PIXEL: pixel,
        }
        missing = [kind for kind, asked in asked_for.items() if asked and not kind.has(run, name=name)]
        if missing:
            context.tell("detector table", number, len(found), f"fit {name}")
            store = store or stored(context)
            started = time.perf_counter()
            guard = make(context, store)
            seconds = time.perf_counter() - started
            if catalogue.DETECTORS in missing:
                record = judge(context, guard, name=name, fitted_on=make.fitted_on, seconds=seconds)
                catalogue.DETECTORS.save(run, record, name=name)
            if catalogue.KNOWN in missing:
                context.tell("detector table", number, len(found), f"attacks that know {name}")
                catalogue.KNOWN.save(run, attack_knowing(context, guard, name), name=name)
            if catalogue.KNOWN_PIXEL in missing:
                context.tell("detector table", number, len(found), f"the pixel that {name} overlooks")
                catalogue.KNOWN_PIXEL.save(run, pixel_knowing(context, guard, name), name=name)
        context.tell("detector table", number + 1, len(found), name)


def detectors(context: Context) -> Mapping[str, Making]:
    """Every detector of the table by name, with how its guard is made."""
    section = wanted(context)
    tuned = catalogue.TUNED.load(context.run, attack=section.focus)
    found: dict[str, Making] = {
        f"neighbours, {layer}": LayerRule(layer, k, section.focus)
        for layer, k in zip(tuned.tuning.layers, tuned.best, strict=True)
    }
    return found | {spec: Spec(spec) for spec in section.detectors}


def judge(context: Context, guard: Guard, *, name: str, fitted_on: str, seconds: float) -> GuardRecord:
    """Scores, alarms and figures of one guard on the half that nothing was tuned on."""
    section, model, seed = wanted(context), context.model, context.study.seed
    clean = judging(context)
    calm, right = on_clean(guard, model, clean)
    judged, evaluations = {CLEAN: _judgement(calm, clean.index, ~right)}, {}
    for spec in section.attacks:
        whole = adversarial(context, spec)
        part = whole[held(context, whole.index)]
        if part.success.any():
            seen = on_attack(guard, model, part, seed=seed)
            judged[spec] = _judgement(seen.verdict, part.index, part.success)
            evaluations[spec] = summary(seen, calm, right, seed=seed)
    return GuardRecord(
        name=name,
        fitted_on=fitted_on,
        rate=section.rate,
        threshold=calm.threshold,
        calibration=len(guard.calibration.scores) if isinstance(guard, Recalibrated) else 0,
        judged=judged,
        evaluations=evaluations,
        natural=figures(calm.score[right], calm.score[~right], seed=seed) if not right.all() else None,
        fit_seconds=seconds,
    )


def attack_knowing(context: Context, guard: Guard, name: str) -> KnownRecord:
    """Attacks that fool the classifier and keep this guard quiet at once, on clean images of the judging half."""
    section, model, seed = wanted(context), context.model, context.study.seed
    clean = judging(context)
    some = clean[model.predict(clean.images).argmax(1) == clean.labels].sample(section.adaptive, seed)
    found = adapt(guard, model, some, eps=section.eps, steps=section.steps, weights=section.weights, seed=seed)
    return _known(context, guard, found, name=name, norm="linf", eps=section.eps)


def pixel_knowing(context: Context, guard: Guard, name: str) -> KnownRecord:
    """The pixel that fools and that this guard finds least strange, on images of the judging half that one can fool."""
    section, model, seed = wanted(context), context.model, context.study.seed
    twins = adversarial(context, PIXELS)
    part = twins[held(context, twins.index)]
    clean = Dataset(context.test.name, part.clean, part.labels, context.test.classes, part.index, "test")
    found = adapt_pixel(guard, model, clean.sample(section.adaptive, seed), detector=name, seed=seed)
    return _known(context, guard, found, name=name, norm="l0", eps=1.0)


def judging(context: Context) -> Dataset:
    """The clean images of the half that nothing was tuned on."""
    clean = subjects(context)
    return clean[held(context, clean.index)]


def _known(context: Context, guard: Guard, found: AdaptiveResult, *, name: str, norm: str, eps: float) -> KnownRecord:
    section = wanted(context)
    clean = on_clean(guard, context.model, judging(context))
    budget = (norm, eps, section.steps if norm == "linf" else 0)
    return known(found, clean, name=name, budget=budget, rate=section.rate, seed=context.study.seed)


def _judgement(verdict: Verdict, index: torch.Tensor, fooled: Mask) -> Judgement:
    return Judgement(index, fooled, verdict.score, verdict.p_value, verdict.recovered)


def _generator(context: Context) -> torch.Generator:
    return rng_of(context.study.seed)
