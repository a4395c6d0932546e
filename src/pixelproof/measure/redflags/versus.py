"""Attacks against one another: a weaker one that finds more convicts the stronger. Flags 4, 5, 6, 12 and 14."""

from __future__ import annotations

from dataclasses import fields, replace

import torch
from torch import Tensor

from pixelproof.attacks import APGD, FGSM, PGD, Square, UniformNoise
from pixelproof.attacks.attack import Attack
from pixelproof.attacks.mount import Field
from pixelproof.draws import Draws
from pixelproof.measure.redflags.finding import NONE, Finding, listed, points
from pixelproof.measure.redflags.subject import Subject
from pixelproof.types import Images, Mask

BLACK_BOX = 0.002  # of all images: AutoAttack's own tolerance
ONE_STEP = 0.01  # of the images; in 50 models x 4 budgets without masking 0.6 % was the most
GAP = 0.2
NOISE_BATCH = 500


def black_box(subject: Subject) -> Finding:
    """4: images that only a search without gradients breaks, or a transfer from the surrogate."""
    found = torch.zeros(len(subject.field.data), dtype=torch.bool)
    tried = []
    if not subject.random:  # Square compares single passes, which mean little when every pass differs
        found |= _only_by_square(subject)
        tried.append("Square")
    if subject.claim.surrogate is not None:
        found |= _only_by_transfer(subject)
        tried.append("transfer")
    if not tried:
        return Finding.not_run("the model is random, and no surrogate was given")
    share = float(found.sum()) / subject.field.offered
    names = " or ".join(tried)
    detail = f"{names} broke {int(found.sum())} images ({points(share)}) that no gradient attack broke"
    return Finding(
        share > BLACK_BOX,
        share,
        detail,
        f"{names} breaks what no gradient attack does",
        subject.field.data.index[found],
    )


def _only_by_square(subject: Subject) -> Mask:
    """What Square broke and margin APGD towards every rival, from another start, does not break even afterwards."""
    by_square = torch.tensor([part.spec.startswith(f"{Square.name}:") for part in subject.evaluation.parts])
    number = subject.evaluation.broken_by
    found = (number >= 0) & by_square[number.clamp_min(0)] if len(by_square) else number >= 0
    if found.any():
        rivals = min(9, subject.classes - 1)
        attack = APGD(subject.eps, loss="margin", targets=rivals, norm=subject.norm)
        found[found.clone()] = ~subject.attack(attack, subject.among(found), salt=4).success
    return found


def _only_by_transfer(subject: Subject) -> Mask:
    """What PGD on the surrogate breaks among the images that the evaluation left standing."""
    found = subject.standing.clone()
    if found.any():
        field = subject.among(found)
        found[found.clone()] = subject.broken(_transferred(subject, field)[0], field)
    return found


def _transferred(subject: Subject, field: Field) -> tuple[Images, Mask]:
    """What PGD finds on the surrogate, and where it fools the surrogate."""
    assert subject.claim.surrogate is not None
    attack = PGD(subject.eps, norm=subject.norm)
    outcome = replace(field, model=subject.claim.surrogate).run(attack, Draws.keyed(subject.seed, field.data.index))
    return outcome.images, field.goal.reached(subject.claim.surrogate.predict(outcome.images))


def one_step_beats_iterative(subject: Subject) -> Finding:
    """5: images that FGSM breaks and PGD, at the same budget, does not."""
    found = subject.one_step.rate - subject.iterated.rate > 0.5
    share, index = float(found.double().mean()), subject.probes.data.index[found]
    detail = f"FGSM breaks {int(found.sum())} of {len(found)} images that PGD-40 does not"
    return Finding(share > ONE_STEP, share, detail, "one step breaks images that forty do not", index)


def single_step(subject: Subject) -> Finding:
    """6: a figure from one step, where more steps find much more."""
    gap = subject.one_step.held - subject.iterated.held
    one, many = 100 * subject.one_step.held, 100 * subject.iterated.held
    said = f"accuracy is {one:.1f} % under FGSM and {many:.1f} % under PGD-40"
    lone = is_single_step(subject.claim.reported)
    if lone:
        return Finding(True, gap, f"the reported attack takes one step; {said}", "the reported attack takes one step")
    index = subject.probes.data.index[subject.iterated.success & ~subject.one_step.success] if gap > GAP else NONE
    note = ": FGSM says nothing here" if gap > GAP else ""
    return Finding(gap > GAP, gap, said + note, "FGSM says nothing about this model", index)


def is_single_step(attack: Attack) -> bool:
    """Whether an attack takes one gradient step."""
    steps = {field.name: getattr(attack, field.name) for field in fields(attack)}.get("steps")  # type: ignore[arg-type]
    return attack.name == FGSM.name or steps == 1


def transfer_failure(subject: Subject) -> Finding:
    """12: adversarial on the surrogate, not on the model: what was found there says nothing here."""
    if subject.claim.surrogate is None:
        return Finding.not_run("no surrogate was given; every attack went through the model end to end")
    images, there = _transferred(subject, subject.probes)
    failed = there & (subject.fooling(images, subject.probes.goal) <= 0.5)
    share = float(failed.sum()) / max(1, int(there.sum()))
    detail = f"of {int(there.sum())} images that fool the surrogate {int(failed.sum())} do not fool the model"
    return Finding(
        bool(failed.any()), share, detail, "attacks on the surrogate do not transfer", subject.probes.data.index[failed]
    )


def noise_beats_gradient(subject: Subject) -> Finding:
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


def _noise_breaks(subject: Subject, one: Field) -> Tensor:
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
