"""More budget must never help the model, and enough of it must break everything: flags 7 and 8."""

from __future__ import annotations

import math
from itertools import pairwise

import torch

from pixelproof.attacks import PGD, Attack, MarginPGD
from pixelproof.measure.redflags.subject import AuditSubject
from pixelproof.measure.redflags.words import points
from pixelproof.results.audit import NONE, Finding
from pixelproof.specs import budget
from pixelproof.types import Mask, Rate

SHARES = (0.25, 0.5, 1.0, 2.0)  # of the budget: where the curve is looked at
STEPS = 20
ERRORS = 2.0  # standard errors by which accuracy may seem to rise


def not_monotone(subject: AuditSubject) -> Finding:
    """7: an accuracy that rises with the budget, each point attacked from scratch."""
    most = 1.0 if subject.norm == "linf" else math.inf  # every image is within 1 of every other in linf
    budgets = [min(share * subject.eps, most) for share in SHARES]
    curve = [subject.attack(PGD(eps, STEPS, norm=subject.norm), subject.probes) for eps in budgets]
    worst, size, index = 0.0, 0.0, NONE
    for before, after in pairwise(curve):
        gained, lost = before.success & ~after.success, after.success & ~before.success
        rise = float(gained.sum() - lost.sum()) / len(gained)
        error = (float(gained.sum() + lost.sum()) / len(gained) - rise**2) ** 0.5 / len(gained) ** 0.5
        if rise > ERRORS * error and rise > size:
            worst, size, index = rise / max(error, 1e-12), rise, subject.probes.data.index[gained]
    held = " / ".join(f"{100 * hits.held:.1f}" for hits in curve)
    at = " / ".join(f"{budget(eps)}" for eps in budgets)
    detail = f"PGD-{STEPS} leaves {held} % standing at eps {at}"
    if not len(index):
        return Finding(False, 0.0, detail)
    detail += f": it rises by {points(size)}, {worst:.1f} standard errors"
    return Finding(True, size, detail, "accuracy rises with the budget", index)


def unbounded(subject: AuditSubject) -> Finding:
    """8: images that hold although everything is allowed, or more than chance where every image can become grey."""
    values = math.prod(subject.field.data.shape)
    whole = 1.0 if subject.norm == "linf" else values**0.5
    left = _left(subject, whole)
    half = Rate(int(_left(subject, whole / 2).sum()), len(left))
    chance = 1 / subject.classes
    detail = (
        f"{int(left.sum())} of {len(left)} images hold at eps {budget(whole)}, where any image is allowed, and "
        f"{100 * float(half):.1f} % at eps {budget(whole / 2)}, where all can be grey (chance {100 * chance:.0f} %)"
    )
    raised = bool(left.any()) or half.interval[0] > chance
    reason = "attacks fail where any image is allowed" if left.any() else "attacks fail where any image can be grey"
    return Finding(raised, float(left.double().mean()), detail, reason, subject.probes.data.index[left])


def _left(subject: AuditSubject, eps: float) -> Mask:
    """What PGD on the cross-entropy, then on the margin, leaves standing of the probes."""
    left = torch.ones(len(subject.probes.data), dtype=torch.bool)
    rows = torch.isin(subject.field.data.index, subject.probes.data.index).nonzero()[:, 0]
    attacks: tuple[Attack, ...] = (PGD(eps, norm=subject.norm), MarginPGD(eps, 2 * STEPS, norm=subject.norm))
    for attack in attacks:
        if left.any():
            left[left.clone()] = ~subject.attack(attack, subject.among(rows[left])).success
    return left
