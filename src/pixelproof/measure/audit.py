"""audit: is this robustness believable? Every red flag, and one sentence that says what may be said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace

import torch

from pixelproof import prove, specs
from pixelproof.attacks import ATTACKS, PGD, Attack, Auto, parse
from pixelproof.attacks.mount import Prepared
from pixelproof.attacks.stochastic import ATTACK_DRAWS, drawing, expect, is_stochastic
from pixelproof.data import Dataset
from pixelproof.draws import subseed
from pixelproof.errors import BadInput
from pixelproof.lp import Ball
from pixelproof.measure import flags
from pixelproof.measure.clock import Clock, TimeUp
from pixelproof.measure.evaluate import FLAG_IMAGES, OUT_OF_TIME, Live, evaluate
from pixelproof.measure.redflags import LOOKS, AuditSubject, Claim, connected
from pixelproof.models import Classifier
from pixelproof.results import RED_FLAGS, Audit, AuditQuestion, Effort, Finding, RedFlag, catalogue
from pixelproof.results.audit import LowerBound
from pixelproof.run import Run
from pixelproof.types import Goal, Norm, Rate

Tell = Callable[[str, int, int, str], None]
EVALUATION = 0.5  # share of a time budget that the evaluation gets at most


def audit(
    model: Classifier,
    data: Dataset,
    *,
    eps: float,
    norm: Ball = "linf",
    trained_with: Attack | str | None = None,
    surrogate: Classifier | None = None,
    reported: Attack | None = None,
    effort: Effort | None = None,
    seed: int = 0,
    budget: float | None = None,
    run: Run | None = None,
    tell: Tell | None = None,
) -> Audit:
    """Evaluate `model` with the ensemble and look for every red flag.

    `trained_with` is the attack (or its spec) of the training, `surrogate` a model that attacks may be transferred
    from, `reported` the attack whose figure somebody quotes (PGD-40 unless said). A random model is attacked in
    expectation over draws. After `budget` seconds the tests that are left are not run, and the model is not shown
    robust; half of them at most go to the evaluation. With a `run`, what is finished is kept, and the same call goes
    on from there. `tell` hears (what, done, total, note).

    Raises BadInput for data that do not fit the model, and for so few images that the interval would be wider than
    `effort.width`.
    """
    if budget is not None and not budget > 0:
        raise BadInput("audit", "the time budget must be positive", budget)
    tell, clock = tell or (lambda what, done, total, note: None), Clock(budget)
    trained = _known(trained_with, eps) if isinstance(trained_with, str) else trained_with
    claim = Claim(reported or PGD(eps, norm=norm), trained, surrogate)
    if run is not None:
        question = AuditQuestion(
            model=model.digest(),
            data=data.digest(),
            surrogate="" if surrogate is None else surrogate.digest(),
            eps=eps,
            norm=norm,
            reported=specs.write(claim.reported),
            trained_with=_said(trained),
            effort=effort or Effort(),
            seed=seed,
            flags=tuple(f"{flag.name}: {flag.test}; {flag.threshold}" for flag in RED_FLAGS),
        )
        check_question(run, question)
    with drawing(seed, wanted=True):
        given = None if budget is None else EVALUATION * budget
        subject = prepare(
            model, data, Auto(eps, norm), claim, effort or Effort(), seed=seed, budget=given, run=run, tell=tell
        )
    findings = []
    whole = subject.evaluation.ended != OUT_OF_TIME
    for number, flag in enumerate(RED_FLAGS):
        tell("red flags", number, len(RED_FLAGS), flag.name)
        findings.append(_looked(subject, flag, number, run if whole else None, clock))  # else it is of fewer images
    tell("red flags", len(RED_FLAGS), len(RED_FLAGS), "")
    result = Audit(
        evaluation=subject.evaluation,
        findings=tuple(findings),
        random=subject.random,
        reported=specs.write(claim.reported),
        trained_with=_said(trained) or None,
        surrogate=None if surrogate is None else surrogate.card.name,
        effort=subject.effort,
    )
    if run is not None and whole and not result.late:
        catalogue.AUDIT.save(run, result)
    return result


def lower_bound(model: Classifier, data: Dataset, eps: float, *, norm: Norm) -> LowerBound:
    """What interval bounds prove of the images, whatever attacks miss; nothing beyond linf and of layers without."""
    if norm != "linf":
        return LowerBound(None)
    try:
        return LowerBound(prove.certified(model, data, eps))
    except BadInput:
        return LowerBound(None)


def prepare(
    model: Classifier,
    data: Dataset,
    attack: Auto,
    claim: Claim,
    effort: Effort,
    *,
    seed: int = 0,
    budget: float | None = None,
    run: Run | None = None,
    tell: Tell,
) -> AuditSubject:
    """Evaluate, and gather what the red flags look at; random and blind models become what attacks can run on."""
    check_enough(len(data), effort.width)
    probe = data[:FLAG_IMAGES]
    random = is_stochastic(model, probe.images)
    blind = bool(flags.silent(model, probe.images, probe.labels, "margin").all())
    attacked = connected(model) if blind else model  # attacks must be able to run although no gradient leads anywhere
    found = evaluate(model, data, attack, seed=seed, budget=budget, run=run, tell=_heard(tell))
    field, kept = Prepared.of(attacked, data, None, None), data[torch.isin(data.index, found.index)]
    seen = expect(attacked, ATTACK_DRAWS) if random else attacked
    field = replace(field, model=seen, data=kept, goal=Goal(kept.labels))
    return AuditSubject(model, field, attack, found, claim, effort, seed, random)


def check_question(run: Run, question: AuditQuestion) -> None:
    """Refuse a run that holds another question's findings; keep the question in one that holds none yet."""
    if not catalogue.QUESTION.has(run):
        if catalogue.FLAGS.names(run) or catalogue.PROGRESS.has(run):
            got = "findings that do not say whose they are"
            raise BadInput("audit", "the run must hold an audit of this question", got, "Use another folder.")
        catalogue.QUESTION.save(run, question)
        return
    kept = catalogue.QUESTION.load(run)
    for field in fields(question):
        name, one, other = field.name, getattr(kept, field.name), getattr(question, field.name)
        if one != other:
            got = "another" if isinstance(one, tuple | Effort) else one or "none"
            raise BadInput("audit", f"the run must hold an audit with the same {name}", got, "Use another folder.")


def check_enough(n: int, width: float) -> None:
    """Refuse so few images that the 95 % interval of a robust accuracy of one half is wider than `width`."""
    low, high = Rate(n // 2, n).interval
    if high - low > width:
        need = next(count for count in range(n, 10**6) if _width(count) <= width)
        raise BadInput(
            "audit",
            f"needs at least {need} images for an interval of at most {100 * width:.0f} pp",
            f"{n}, whose interval is up to {100 * (high - low):.0f} pp wide",
            "Give more images, or accept a wider interval.",
        )


def _width(n: int) -> float:
    low, high = Rate(n // 2, n).interval
    return high - low


def _known(spec: str, eps: float) -> Attack | str:
    """The attack that a spec names; a training's own attack, which the table does not hold, stays as it is written."""
    return parse(spec, eps=eps) if spec.partition(":")[0].strip() in ATTACKS else spec


def _said(trained: Attack | str | None) -> str:
    """The training's attack as a spec; empty where none is known."""
    return specs.write(trained) if isinstance(trained, Attack) else trained or ""


def _looked(subject: AuditSubject, flag: RedFlag, number: int, run: Run | None, clock: Clock) -> Finding:
    """The finding of one flag, from the run where it is there already; none where the time is up first."""
    name = f"{number + 1:02d}"
    if run is not None and catalogue.FLAGS.has(run, number=name):
        return catalogue.FLAGS.load(run, number=name)
    try:
        clock.check()
        with drawing(subseed(subject.seed, number), wanted=True), clock.watching(subject.model):
            finding = LOOKS[flag.name](subject)
    except TimeUp:
        return Finding.too_late()
    if run is not None:
        catalogue.FLAGS.save(run, finding, number=name)
    return finding


def _heard(tell: Tell) -> Callable[[Live], None]:
    """What the evaluation tells, in the audit's words."""
    return lambda live: tell(
        live.part, live.done, live.total, f"robust accuracy <= {live.bound} after {live.seconds:.1f} s"
    )
