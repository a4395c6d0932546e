"""What a guard is worth against one attack: figures with intervals, and the controls without which they mislead."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from pixelproof.attacks import AdversarialSet
from pixelproof.data import Dataset
from pixelproof.detect.detectors.confidence import top_two
from pixelproof.detect.evaluation.curves import Estimate, Figures, figures
from pixelproof.detect.evaluation.noise import matched_noise
from pixelproof.detect.guards.guard import Guard, Verdict
from pixelproof.draws import rng_of
from pixelproof.errors import BadInput
from pixelproof.models import Classifier
from pixelproof.types import Labels, Logits, Mask, Rate

CHANCE = 0.5  # the AUROC of scores that say nothing


@dataclass(frozen=True)
class GuardEvaluation:
    """One guard against one attack, on images it was not fitted on. Only successful attacks count as attacked.

    - `figures`: attacked against correctly classified clean images; `figures_all`: against all clean images.
    - `noise`: AUROC against clean images that carry the same perturbation at shuffled pixels, scaled so that its l2
      norm after clipping is the attack's (`matched_noise`): a detector that does not beat it sees that something was
      changed, not that it was an attack. None when the shuffled perturbations leave nothing to compare.
    - `twins`: AUROC against the clean originals of the very images that fell, which a detector of fragile images takes
      for attacked, too. None in evaluations made without them.
    - `alarms`: attacked images above the guard's own threshold; `false_alarms`: the share of all clean images that are,
      misclassified ones included (see `alarms_on_clean`); `balanced`: the mean of alarms and of no alarms on correctly
      classified clean images.
    - `figures.auroc.value` below one half: the guard finds attacked images less strange than clean ones (`remark`).
    - `recovered`: attacked images whose recovered class is the true one, None for a guard that names none; `second`:
      those whose second highest logit is, the baseline that costs nothing; `recovered_alarmed`, `second_alarmed`: the
      same among alarmed ones.
    - `rejected_or_right`: attacked attempts, also failed ones, that are alarmed or still classified correctly.
    """

    attack: str
    figures: Figures
    figures_all: Figures
    noise: Estimate | None
    alarms: Rate
    false_alarms: Rate
    balanced: float
    recovered: Rate | None
    second: Rate
    recovered_alarmed: Rate | None
    second_alarmed: Rate
    rejected_or_right: Rate
    seconds_per_image: float
    twins: Estimate | None = None

    @property
    def remark(self) -> str:
        """What a reader must know about the figures, or nothing."""
        if self.figures.auroc.high >= CHANCE:
            return ""
        return "Worse than chance: attacked images look less strange to this guard than clean ones."


@dataclass(frozen=True)
class AlarmsOnClean:
    """How often a guard alarms without an attack.

    - `false_alarms`: of all clean images, misclassified ones included: no user knows which are misclassified.
    - `on_right`: of the correctly classified ones; `on_wrong`: of the misclassified ones, the natural errors.
    """

    false_alarms: Rate
    on_right: Rate
    on_wrong: Rate


def alarms_on_clean(clean_verdict: Verdict, right: Mask) -> AlarmsOnClean:
    """The alarms among clean images, of which `right` are correctly classified: one rule for everything that counts."""
    alarm = clean_verdict.alarm
    return AlarmsOnClean(_rate(alarm), _rate(alarm[right]), _rate(alarm[~right]))


def evaluate(
    guard: Guard, model: Classifier, clean: Dataset, adversarial: AdversarialSet, *, seed: int = 0
) -> GuardEvaluation:
    """Judge `guard` on an attack's images and on clean ones; `clean` may hold the attacked images' originals.

    Raises BadInput when the attack never succeeded or no clean image is classified correctly.
    """
    return evaluate_all(guard, model, clean, {adversarial.attack: adversarial}, seed=seed)[adversarial.attack]


def evaluate_all(
    guard: Guard, model: Classifier, clean: Dataset, attacks: Mapping[str, AdversarialSet], *, seed: int = 0
) -> dict[str, GuardEvaluation]:
    """`evaluate` for several attacks: the clean images are judged once."""
    clean_verdict, right = on_clean(guard, model, clean)
    return {
        name: summary(on_attack(guard, model, found, seed=seed), clean_verdict, right, seed=seed)
        for name, found in attacks.items()
    }


def on_clean(guard: Guard, model: Classifier, clean: Dataset) -> tuple[Verdict, Mask]:
    """The verdict on clean images, and which of them are classified correctly."""
    right = model.predict(clean.images).argmax(1) == clean.labels
    return guard(model, clean.images), right


@dataclass(frozen=True, eq=False)
class JudgedAttack:
    """A guard's verdicts on an attack's images, on their originals, and on those with the perturbations shuffled.

    Only images that the noise leaves correctly classified count as `noisy`; None when there are none. `twins` are the
    clean originals of the successes.
    """

    adversarial: AdversarialSet
    verdict: Verdict
    noisy: Verdict | None
    twins: Verdict
    seconds_per_image: float


def on_attack(guard: Guard, model: Classifier, adversarial: AdversarialSet, *, seed: int = 0) -> JudgedAttack:
    """Verdicts on an attack's images and on noise of the same size. Raises BadInput when the attack never succeeded."""
    if not adversarial.success.any():
        raise BadInput("evaluate", "at least one successful attack is needed", f"none of {len(adversarial)}")
    started = time.perf_counter()
    verdict = guard(model, adversarial.images)
    seconds = (time.perf_counter() - started) / len(adversarial)
    hit = adversarial.success
    generator = rng_of(seed)
    controls = matched_noise(adversarial.clean[hit], adversarial.images[hit], generator)
    unmoved = model.predict(controls).argmax(1) == adversarial.labels[hit]
    noisy = guard(model, controls[unmoved]) if unmoved.any() else None
    return JudgedAttack(adversarial, verdict, noisy, guard(model, adversarial.clean[hit]), seconds)


def summary(judged: JudgedAttack, clean_verdict: Verdict, right: Mask, *, seed: int = 0) -> GuardEvaluation:
    """The figures of verdicts on an attack beside those on clean images, of which `right` are correctly classified."""
    adversarial, verdict = judged.adversarial, judged.verdict
    hit, labels, alarm = adversarial.success, adversarial.labels, judged.verdict.alarm
    noise = None
    if judged.noisy is not None:
        noise = figures(judged.noisy.score, verdict.score[hit], seed=seed).auroc
    second = second_class(adversarial.logits)
    return GuardEvaluation(
        attack=adversarial.attack,
        figures=figures(clean_verdict.score[right], verdict.score[hit], seed=seed),
        figures_all=figures(clean_verdict.score, verdict.score[hit], seed=seed),
        noise=noise,
        alarms=_rate(alarm[hit]),
        false_alarms=alarms_on_clean(clean_verdict, right).false_alarms,
        balanced=(float(_rate(alarm[hit])) + float(_rate(~clean_verdict.alarm[right]))) / 2,
        recovered=_rate((verdict.recovered == labels)[hit]) if verdict.recovers else None,
        second=_rate((second == labels)[hit]),
        recovered_alarmed=_rate((verdict.recovered == labels)[hit & alarm]) if verdict.recovers else None,
        second_alarmed=_rate((second == labels)[hit & alarm]),
        rejected_or_right=_rate(alarm | ~hit),
        seconds_per_image=judged.seconds_per_image,
        twins=figures(judged.twins.score, verdict.score[hit], seed=seed).auroc,
    )


def natural_errors(guard: Guard, model: Classifier, clean: Dataset, *, seed: int = 0) -> Figures:
    """The same figures with misclassified clean images in the place of attacked ones.

    A guard that flags them as strongly as attacks detects errors, not attacks. Raises BadInput when there are none.
    """
    wrong = model.predict(clean.images).argmax(1) != clean.labels
    score = guard(model, clean.images).score
    return figures(score[~wrong], score[wrong], seed=seed)


def second_class(logits: Logits) -> Labels:
    """The class with the second highest logit; never the predicted one, also where two logits are equal."""
    return top_two(logits)[1]


def _rate(mask: Mask) -> Rate:
    return Rate(int(mask.sum()), len(mask))
