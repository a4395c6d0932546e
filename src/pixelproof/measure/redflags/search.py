"""Has the search come to its end, and does it hand over what it found? Flags 9, 10 and 16."""

from __future__ import annotations

from dataclasses import replace

import torch

from pixelproof import lp, specs
from pixelproof.attacks import APGD, BIM, FGSM, PGD, MarginPGD
from pixelproof.attacks.attack import Attack
from pixelproof.attacks.gradient_pass import look
from pixelproof.attacks.mount import Prepared
from pixelproof.attacks.watch import Watched
from pixelproof.draws import Draws, rng_of
from pixelproof.measure.redflags.subject import AuditSubject
from pixelproof.measure.redflags.words import points
from pixelproof.models import frozen
from pixelproof.results.audit import Finding
from pixelproof.types import PerImage

GAIN = 0.005  # of all images: what twice the steps may still break
RANGE = 0.05  # of the loss's whole descent: what its last steps may still bring
LAST = 10
TRACED = 50


def not_converged(subject: AuditSubject) -> Finding:
    """9: twice the steps break more, from new starts; beside it, how far the loss of PGD was still falling."""
    rows = subject.standing.nonzero()[:, 0]
    if not len(rows):
        return Finding(False, 0.0, "nothing was left standing for more steps to break")
    rows = rows[torch.randperm(len(rows), generator=rng_of(subject.seed))]
    rows = rows[: subject.effort.doubled].sort().values
    field, fell = subject.among(rows), torch.zeros(len(rows), dtype=torch.bool)
    attacks: tuple[Attack, ...] = (
        MarginPGD(subject.eps, 40, norm=subject.norm),
        APGD(subject.eps, 200, norm=subject.norm),
    )
    for attack in attacks:
        if not fell.all():
            again = subject.among(rows[~fell])
            fell[~fell] = subject.broken(subject.attack(attack, again, salt=9).images, again)
    gain = float(fell.double().mean()) * float(subject.standing.sum()) / subject.field.offered
    trace = falling(field, PGD(subject.eps, norm=subject.norm), subject.seed)
    detail = (
        f"twice the steps (margin-pgd 40, apgd ce 200) break {int(fell.sum())} of {len(rows)} images that stood "
        f"({points(gain)} of all); the last {LAST} steps of PGD-40 bring "
        f"{100 * float(trace.median()):.1f} % of its descent"
    )
    raised = gain > GAIN and int(fell.sum()) > 1
    reason = f"twice the steps lower the bound by {points(gain)} more"
    return Finding(raised, gain, detail, reason, field.data.index[fell])


def falling(field: Prepared, attack: PGD, seed: int) -> PerImage:
    """The share of its whole descent that the loss of PGD, made monotone, still takes in the last steps, per image.

    The indicator of incomplete optimisation of Pintor et al. 2022 (arXiv 2106.09947); no image leaves the walk.
    """
    part = replace(field, data=field.data[:TRACED], goal=field.goal[:TRACED])
    clean, goal = part.data.images.to(field.model.device), part.goal.to(field.model.device)
    descent = attack.descent(clean)
    x, losses = attack.start(clean, Draws.keyed(seed, part.data.index)), []
    with frozen(field.model):
        watched = Watched(field.model, goal)
        for _ in range(attack.steps):
            seen = look(watched, x, goal)
            losses.append(seen.loss)
            step = lp.ascent(seen.gradient, attack.norm) * lp.per_image(descent.step_size)
            x = lp.clip(x - step, clean, descent.eps, attack.norm)
    lowest = torch.stack(losses).cummin(0).values.cpu()
    whole, last = lowest[0] - lowest[-1], lowest[-min(LAST, len(lowest))] - lowest[-1]
    return torch.where(whole > 0, last / whole.clamp_min(lp.TINY), 0.0)


def silent_success(subject: AuditSubject) -> Finding:
    """10: an iterate fooled the model, the image that was handed over does not."""
    if subject.random:
        return Finding.not_run("every pass of a random model differs")
    found = subject.quoted.silent
    counted = f"{int(found.sum())} of {len(found)} images"
    detail = f"{subject.claim.reported.name} saw an adversarial image and returned another at {counted}"
    index = subject.probes.data.index[found]
    reason = "the reported attack loses what it finds"
    return Finding(bool(found.any()), float(found.double().mean()), detail, reason, index)


def trained_on_the_attack(subject: AuditSubject) -> Finding:
    """16: the reported attack is the one the model was trained with."""
    trained, reported = subject.claim.trained_with, subject.claim.reported
    if trained is None:
        return Finding.not_run("the attack of the training, if any, was not given")
    if isinstance(trained, str):
        return Finding.not_run(f"{trained} is not in the table of attacks and cannot be compared with one")
    same = meaning(reported) == meaning(trained)
    detail = f"trained with {_said(trained)}; reported {_said(reported)}"
    return Finding(same, float(same), detail, "the reported attack is the training's own")


def meaning(attack: Attack) -> tuple[object, ...]:
    """What an attack does, however it is written: FGSM, BIM and PGD by their steps, the others by their settings.

    Neither the precision nor whether a walk ends at its first success makes another attack. One step from the image
    that is at least as long as the budget ends where FGSM does.
    """
    if isinstance(attack, FGSM):
        return _walked(attack.eps, attack.norm, 1, attack.eps, 0)
    if isinstance(attack, BIM | PGD):
        size = attack.step_size or attack.share * attack.eps
        starts = attack.restarts if isinstance(attack, PGD) and attack.random_start else 0
        return _walked(attack.eps, attack.norm, attack.steps, size, starts)
    return (specs.write(attack),)


def _said(attack: Attack) -> str:
    if not isinstance(attack, FGSM | BIM | PGD):
        return specs.write(attack)
    norm, eps, steps, share, starts = meaning(attack)
    begin = "the image" if not starts else "a random start" if starts == 1 else f"{starts} random starts"
    return f"{attack.name}, {norm} eps {eps}, {steps} step{'s' * (steps != 1)} of {share} eps from {begin}"


def _walked(eps: float, norm: str, steps: int, size: float, starts: int) -> tuple[object, ...]:
    size = min(size, eps) if steps == 1 and not starts else size
    return norm, float(f"{eps:.6g}"), steps, float(f"{size / eps:.6g}"), starts
