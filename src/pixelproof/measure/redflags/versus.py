"""Attacks against one another: a weaker one that finds more convicts the stronger. Flags 5, 6, 12 and 14."""

from __future__ import annotations

import torch
from scipy import stats
from torch import Tensor

from pixelproof.attacks import FGSM, UniformNoise
from pixelproof.attacks.attack import Attack
from pixelproof.attacks.mount import Prepared
from pixelproof.draws import Draws
from pixelproof.measure.redflags.queries import transferred
from pixelproof.measure.redflags.subject import AuditSubject
from pixelproof.measure.redflags.words import listed
from pixelproof.results.audit import NONE, Finding

ONE_STEP = 0.01  # of the images; in 50 models x 4 budgets without masking 0.6 % was the most
SURE = 0.05  # level of the exact test that there are more
GAP = 0.2
NOISE_BATCH = 500


def one_step_beats_iterative(subject: AuditSubject) -> Finding:
    """5: images that FGSM breaks and PGD, at the same budget, does not: significantly more of them than happen anyway.

    A step in another direction finds one image in a hundred that forty steps miss, also where nothing is masked. Two
    of a hundred images may be that chance (an exact binomial test says so); what is masked shows in many.
    """
    found = subject.one_step.rate - subject.iterated.rate > 0.5
    share, index = float(found.double().mean()), subject.probes.data.index[found]
    p = float(stats.binomtest(int(found.sum()), len(found), ONE_STEP, alternative="greater").pvalue)
    detail = f"FGSM breaks {int(found.sum())} of {len(found)} images that PGD-40 does not (p = {p:.2g})"
    return Finding(p < SURE, share, detail, "one step breaks images that forty do not", index)


def single_step(subject: AuditSubject) -> Finding:
    """6: a figure from one step, where more steps find much more."""
    gap = subject.one_step.held - subject.iterated.held
    one, many = 100 * subject.one_step.held, 100 * subject.iterated.held
    said = f"FGSM leaves {one:.1f} % standing and PGD-40 {many:.1f} %"
    lone = is_single_step(subject.claim.reported)
    if lone:
        return Finding(True, gap, f"the reported attack takes one step; {said}", "the reported attack takes one step")
    index = subject.probes.data.index[subject.iterated.success & ~subject.one_step.success] if gap > GAP else NONE
    note = ": FGSM says nothing here" if gap > GAP else ""
    return Finding(gap > GAP, gap, said + note, "FGSM says nothing about this model", index)


def is_single_step(attack: Attack) -> bool:
    """Whether an attack takes one gradient step."""
    return attack.name == FGSM.name or getattr(attack, "steps", None) == 1


def transfer_failure(subject: AuditSubject) -> Finding:
    """12: adversarial on the surrogate, not on the model: what was found there says nothing here."""
    if subject.claim.surrogate is None:
        return Finding.not_run("no surrogate was given; every attack went through the model end to end")
    images, there = transferred(subject, subject.probes)
    failed = there & (subject.fooling(images, subject.probes.goal) <= 0.5)
    share = float(failed.sum()) / max(1, int(there.sum()))
    detail = f"of {int(there.sum())} images that fool the surrogate {int(failed.sum())} do not fool the model"
    return Finding(
        bool(failed.any()), share, detail, "attacks on the surrogate do not transfer", subject.probes.data.index[failed]
    )


def noise_beats_gradient(subject: AuditSubject) -> Finding:
    """14: images that stood against every gradient and fall to uniform noise of the same budget."""
    standing = subject.standing.nonzero()[:, 0]
    if not len(standing):
        return Finding(False, 0.0, "nothing was left standing for noise to break")
    field = subject.among(standing)
    nearest = field.goal.margin(subject.field.model.predict(field.data.images)).argsort(stable=True)
    chosen = standing[nearest[: subject.effort.noisy]]
    field = subject.among(chosen)
    fell = torch.stack([_noise_breaks(subject, subject.among(row[None])) for row in chosen])
    index = field.data.index[fell]
    detail = (
        f"{subject.effort.noise} uniform draws each break {int(fell.sum())} of {len(chosen)} images that stood, "
        "those with the smallest margins"
    )
    reason = f"noise breaks what no attack does (image {listed(index)})"
    return Finding(bool(fell.any()), float(fell.double().mean()), detail, reason, index)


def _noise_breaks(subject: AuditSubject, one: Prepared) -> Tensor:
    """Whether any of the uniform draws breaks the only image of a field."""
    stream, noise = Draws.keyed(subject.seed, one.data.index), UniformNoise(subject.eps, subject.norm)
    for start in range(0, subject.effort.noise, NOISE_BATCH):
        copies = torch.zeros(min(NOISE_BATCH, subject.effort.noise - start), dtype=torch.long)
        images = noise(subject.model, one.data.images[copies], one.goal[copies], stream[copies])
        fooled = one.goal[copies].reached(subject.model.predict(images))
        if subject.random and fooled.any():  # one lucky pass is not success
            best = fooled.nonzero()[0]
            fooled = subject.broken(images[best], one)
        if fooled.any():
            return torch.tensor(True)
    return torch.tensor(False)
