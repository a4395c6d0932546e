"""Critical pixels: whether they can be believed, whether they suffice, and what signatures depend on."""

from __future__ import annotations

from typing import Literal, get_args

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from pixelproof.explain import HeldOutTest, NullRun, PixelCurve, PooledTest, verdict
from pixelproof.explain.critical import Sense
from pixelproof.results import CriticalRecord, catalogue
from pixelproof.results.critical import Histogram
from pixelproof.run import Run
from pixelproof.types import Rate
from pixelproof.views.answer import Answer, Estimate, Lacking
from pixelproof.views.open_run import OpenRun


class CriticalSense(Answer):
    """The first k pixels in one of paper 1's senses; curves are those of the attack without early stop, if any."""

    sense: Sense = Field(description="generation: the attacked image's explanation is large; detection: it changed.")
    concentration: float = Field(description="Share of all of an image's score that they carry.")
    repaired: float = Field(description="Share of fooled images that are right again when they are set back to clean.")
    sufficient: float = Field(description="Share of images still fooled when only they are attacked.")
    confined: Rate = Field(description="Images fooled by an attack that may change only them.")


class CriticalCurvePoint(Answer):
    """What the first k pixels of a ranking do on the images that one attack fooled."""

    attack: str = Field(description="As the study names it.")
    ranking: str = Field(description="By what the pixels are ordered: a sense of critical, or a control.")
    n: int = Field(description="Images that the attack fooled.")
    k: int = Field(description="Pixels of each image.")
    repaired: float = Field(description="Share that is right again when these pixels are set back to clean.")
    sufficient: float = Field(description="Share still fooled when only these pixels are attacked.")
    repair_area: Estimate = Field(description="Mean height of the whole curve of repaired, up to the largest k.")
    insertion_area: Estimate = Field(description="The same of sufficient.")
    confined: Rate = Field(description="Images fooled by an attack that may change only the ranking's first pixels.")


class ConfinedRow(Answer):
    """What an attack reaches that may change only the first k pixels of a ranking."""

    ranking: str = Field(description="By what the pixels are ordered: a sense of critical, or a control.")
    k: int = Field(description="Pixels that may change.")
    fooled: Rate = Field(description="Images fooled by an attack that may change only these.")


class ChangeHistogram(Answer):
    """Pixels by |change of their SHAP value|, in bins between `edges`: critical ones and all others."""

    edges: tuple[float, ...] = Field(description="Ascending; one more than there are bins.")
    critical: tuple[float, ...] = Field(description="Critical pixels in each bin, over all images.")
    other: tuple[float, ...] = Field(description="All other pixels in each bin, over all images.")


class ShuffledLayers(Answer):
    """Signatures of the network with its last layers shuffled, compared with those of the intact one."""

    layers: tuple[str, ...] = Field(description="Layers that are shuffled, from the last.")
    correlation: float = Field(description="Rank correlation over all pixels, mean over images.")
    with_mass: float = Field(description="The same over pixels where either map carries more than 0.1 % of its most.")
    overlap: float = Field(description="Jaccard index of the first k pixels, mean over images.")


class SignatureSanity(Answer):
    """How much signatures depend on the backgrounds, and whether they depend on the model (`n` images)."""

    n: int = Field(description="Images that were explained.")
    k: int = Field(description="Pixels of each map that are compared.")
    background: int = Field(description="Images in one set of backgrounds.")
    draws: int = Field(description="Sets of backgrounds.")
    stability: float = Field(description="Jaccard index of the first k pixels, mean over pairs of draws and images.")
    lowest: float = Field(description="The same of the pair that shares least.")
    models: int = Field(description="Networks that differ in their training seed.")
    models_n: int = Field(description="Images that all of the models classify correctly.")
    over_models: float | None = Field(description="Jaccard index, mean over pairs of models; null without others.")
    chance: float = Field(description="The Jaccard index of two random choices.")
    shuffled: tuple[ShuffledLayers, ...] = Field(description="One per number of shuffled layers.")


class CriticalFindings(Answer):
    """Critical pixels of one attack's successes, in both senses, with every test of them and its control."""

    available: Literal[True] = True
    attack: str = Field(description="Whose successes are looked at.")
    deep: str | None = Field(description="The same attack without early stop; null where it has none.")
    eps: float = Field(description="Its budget.")
    seed: int = Field(description="That its random numbers were drawn with.")
    k: int = Field(description="Pixels of each image that are called critical.")
    n: int = Field(description="Images that the attack fooled.")
    curves_n: int = Field(description="Images that the shares in `senses` rest on.")
    shared: float = Field(description="Jaccard index of the two senses' pixels, mean over images.")
    senses: tuple[CriticalSense, ...] = Field(description="Generation and detection.")
    pooled: PooledTest = Field(description="Paper 1's test, which must not be believed.")
    held_out: HeldOutTest = Field(description="Whether pixels chosen on one half of the images move in the other half.")
    null: NullRun = Field(description="Both tests on clean against clean images.")
    attacked: HeldOutTest = Field(description="The held-out test on maps of the true class.")
    noisy: HeldOutTest = Field(description="The same with noise of equal size in the attack's place.")
    noise_runs: NullRun = Field(description="Both tests on random halves of the images with that noise.")
    significant: int = Field(description="Pixels that move in one direction at a family-wise 5 %.")
    pixels: int = Field(description="Of one image.")
    verdict: str = Field(description="What the tests allow to be said, in words.")
    histogram: ChangeHistogram = Field(description="How much SHAP values change at critical pixels and elsewhere.")
    curves: tuple[CriticalCurvePoint, ...] = Field(description="The attack without early stop first.")
    confined: tuple[ConfinedRow, ...] = Field(
        description="Where the attack may change the first pixels of a ranking only."
    )
    sanity: SignatureSanity | None = Field(description="null where the study did not come that far.")


def critical(opened: OpenRun) -> CriticalFindings:
    """Critical pixels and every test of them; Lacking without [signatures]."""
    record = catalogue.CRITICAL.find(opened.run)
    if record is None:
        raise Lacking("critical pixels", "This run looked for none.", "Add [signatures] to the study.")
    fixed = record.fixed
    return CriticalFindings(
        attack=record.attack,
        deep=record.deep,
        eps=record.eps,
        seed=record.seed,
        k=record.k,
        n=record.n,
        curves_n=_used(record)[0].n,
        shared=float(record.shared.mean()),
        senses=_senses(record),
        pooled=record.pooled,
        held_out=record.held_out,
        null=record.null,
        attacked=fixed.attacked,
        noisy=fixed.noisy,
        noise_runs=fixed.noise_runs,
        significant=int(record.pixels.significant().sum()),
        pixels=record.pixels.t.numel(),
        verdict=verdict(record.pooled, record.held_out, record.null),
        histogram=_histogram(record.histogram),
        curves=_curves(record),
        confined=tuple(ConfinedRow(ranking=each.ranking, k=each.k, fooled=each.fooled) for each in record.confined),
        sanity=_sanity(opened.run),
    )


def _used(record: CriticalRecord) -> tuple[PixelCurve, ...]:
    return record.deep_curves or record.curves


def _senses(record: CriticalRecord) -> tuple[CriticalSense, ...]:
    curves = {curve.ranking: curve for curve in _used(record)}
    fooled = {each.ranking: each.fooled for each in record.confined}
    return tuple(
        CriticalSense(
            sense=sense,
            concentration=float(record.concentration[position]),
            repaired=_at(curves[sense].sizes, curves[sense].repaired, record.k),
            sufficient=_at(curves[sense].sizes, curves[sense].sufficient, record.k),
            confined=fooled[sense],
        )
        for position, sense in enumerate(get_args(Sense))
    )


def _at(sizes: tuple[int, ...], values: Float[Tensor, " s"], k: int) -> float:
    return float(values[sizes.index(k)])


def _curves(record: CriticalRecord) -> tuple[CriticalCurvePoint, ...]:
    fooled = {each.ranking: each.fooled for each in record.confined}
    every = [(record.attack, curve) for curve in record.curves]
    if record.deep is not None:
        every = [(record.deep, curve) for curve in record.deep_curves] + every
    return tuple(
        CriticalCurvePoint(
            attack=attack,
            ranking=curve.ranking,
            n=curve.n,
            k=size,
            repaired=float(curve.repaired[position]),
            sufficient=float(curve.sufficient[position]),
            repair_area=Estimate(curve.area[0], *curve.interval[0]),
            insertion_area=Estimate(curve.area[1], *curve.interval[1]),
            confined=fooled[curve.ranking],
        )
        for attack, curve in every
        for position, size in enumerate(curve.sizes)
    )


def _histogram(found: Histogram) -> ChangeHistogram:
    edges, critical, other = (tuple(values.tolist()) for values in (found.edges, found.critical, found.other))
    return ChangeHistogram(edges=edges, critical=critical, other=other)


def _sanity(run: Run) -> SignatureSanity | None:
    record = catalogue.SANITY.find(run)
    if record is None:
        return None
    found = record.randomisation
    return SignatureSanity(
        n=record.n,
        k=record.k,
        background=record.background,
        draws=record.draws,
        stability=float(record.stability.mean()),
        lowest=float(record.stability.mean(1).min()),
        models=record.models,
        models_n=record.models_n,
        over_models=None if record.over_models is None else float(record.over_models.mean()),
        chance=record.chance,
        shuffled=tuple(
            ShuffledLayers(
                layers=tuple(found.layers[: place + 1]),
                correlation=float(found.correlation[place].mean()),
                with_mass=float(found.with_mass[place].mean()),
                overlap=float(found.overlap[place].mean()),
            )
            for place in range(len(found.layers))
        ),
    )
