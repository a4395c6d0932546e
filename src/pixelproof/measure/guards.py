"""What one guard is worth: on pictures, on test images clean and attacked, and against attacks that know it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor

from pixelproof.attacks import AdversarialSet
from pixelproof.data import Dataset
from pixelproof.detect import AdaptiveResult, Guard, Verdict, adapt, figures
from pixelproof.detect.evaluation.evaluate import alarms_on_clean, on_attack, on_clean, summary
from pixelproof.models import Classifier
from pixelproof.results import KnownRecord
from pixelproof.results.detection import AttackedTest, GuardTest, PictureVerdicts
from pixelproof.specs import budget
from pixelproof.types import Images, Mask, Rate

STEPS = 40  # of the attacks that know the guard
EPS = 8 / 255  # of those attacks where no linf attack that was asked for says another


def on_pictures(guard: Guard, model: Classifier, images: Images, names: tuple[str, ...]) -> PictureVerdicts:
    """The verdict on each picture, and what the model takes it for."""
    return PictureVerdicts(names, model.predict(images).argmax(1), guard(model, images))


def on_test(
    guard: Guard, model: Classifier, test: Dataset, attacked: Mapping[str, AdversarialSet], *, seed: int
) -> GuardTest:
    """False alarms on test images, natural errors, and the figures against each attack that ever succeeded."""
    clean, right = on_clean(guard, model, test)
    found = {}
    for spec, one in attacked.items():
        hit = bool(one.success.any())
        figures = summary(on_attack(guard, model, one, seed=seed), clean, right, seed=seed) if hit else None
        found[spec] = AttackedTest(int(one.success.sum()), len(one), figures)
    return GuardTest(len(test), alarms_on_clean(clean, right), found)


def knowing(
    guard: Guard,
    model: Classifier,
    test: Dataset,
    *,
    name: str,
    n: int,
    rate: float,
    attacked: Mapping[str, AdversarialSet],
    seed: int,
    tell: Callable[[str, int, int, str], None],
) -> KnownRecord:
    """What attacks that know the guard reach on n test images, at the largest linf budget of the attacks asked for."""
    eps = max((one.eps for one in attacked.values() if one.norm == "linf" and one.eps is not None), default=EPS)
    what, note = "attacks that know the guard", f"eps {budget(eps)}"
    tell(what, 0, 1, note)
    found = adapt(guard, model, test.sample(n, seed), eps=eps, steps=STEPS, seed=seed)
    tell(what, 1, 1, note)
    clean = on_clean(guard, model, test)
    return known(found, clean, name=name, budget=("linf", eps, STEPS), rate=rate, seed=seed)


def known(
    found: AdaptiveResult,
    on_clean: tuple[Verdict, Mask],
    *,
    name: str,
    budget: tuple[str, float, int],
    rate: float,
    seed: int,
) -> KnownRecord:
    """The record of attacks that know a guard, beside its verdict on clean images, of which some are classified right.

    `budget`: norm, eps and steps of the attacks; no steps for single pixels.
    """
    clean, right = on_clean
    norm, eps, steps = budget

    def auroc(score: Tensor) -> float | None:
        return float(figures(clean.score[right], score, resamples=0).auroc) if len(score) else None

    pairs = list(zip(found.sets, found.verdicts, strict=True))
    fooled = found.score.isfinite()
    return KnownRecord(
        name=name,
        n=found.lost.n,
        norm=norm,
        eps=eps,
        steps=steps,
        rate=rate,
        attacks=found.attacks,
        fooled=tuple(Rate(int(one.success.sum()), len(one)) for one, _ in pairs),
        evaded=tuple(found.rate(attack) for attack in found.attacks),
        auroc=tuple(auroc(verdict.score[one.success]) for one, verdict in pairs),
        lost=found.lost,
        quietest=figures(clean.score[right], found.score[fooled], seed=seed) if fooled.any() else None,
    )
