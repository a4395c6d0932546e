"""Attacks that only ask: what scores or bare decisions find, whatever the gradients say. Flag 4."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from pixelproof import lp
from pixelproof.attacks import APGD, PGD, HopSkipJump, Square
from pixelproof.attacks.attack import Attack
from pixelproof.attacks.mount import Prepared
from pixelproof.draws import Draws, rng_of
from pixelproof.measure.redflags.subject import AuditSubject
from pixelproof.measure.redflags.words import points
from pixelproof.results.audit import Finding
from pixelproof.types import Images, Mask

BLACK_BOX = 0.002  # of all images: AutoAttack's own tolerance
RANKING = 300  # decisions per image that say which standing images are nearest to the boundary


def black_box(subject: AuditSubject) -> Finding:
    """4: images that only a search without gradients breaks, or a transfer from the surrogate.

    The ensemble's rule stops its Square early where margins stand still, and hard decisions make them stand still. So
    a sample of what stands meets Square and HopSkipJump at their full length here, whatever the rule said.
    """
    found = torch.zeros(len(subject.field.data), dtype=torch.bool)
    tried, asked = [], ""
    if not subject.random:  # they compare single passes, which mean little when every pass differs
        rows = nearest(subject)
        sampled = _by_queries(subject, rows)
        found |= _not_by_gradients(subject, _by_square(subject) | sampled)
        tried += [Square.name.capitalize(), "HopSkipJump"]
        asked = (
            f"; of {len(rows)} images that stood, those nearest to the boundary by decisions, "
            f"{subject.effort.queries} queries each break {int(sampled.sum())}"
        )
    if subject.claim.surrogate is not None:
        found |= _only_by_transfer(subject)
        tried.append("transfer")
    if not tried:
        return Finding.not_run("the model is random, and no surrogate was given")
    share = float(found.sum()) / subject.field.offered
    names = " or ".join(tried)
    detail = f"{names} broke {int(found.sum())} images ({points(share)}) that no gradient attack broke{asked}"
    return Finding(
        share > BLACK_BOX,
        share,
        detail,
        f"{names} breaks what no gradient attack does",
        subject.field.data.index[found],
    )


def nearest(subject: AuditSubject) -> Tensor:
    """The standing images that the query attacks get: nearest to the boundary as a short HopSkipJump sees it.

    Its distances need no score, so a margin that tells nothing cannot hide the images that are easy to break.
    """
    rows = subject.standing.nonzero()[:, 0]
    if len(rows) <= subject.effort.queried:
        return rows
    rows = rows[torch.randperm(len(rows), generator=rng_of(subject.seed))]
    rows = rows[: subject.effort.ranked].sort().values
    field = subject.among(rows)
    seen = subject.attack(HopSkipJump(RANKING, subject.norm), field, salt=4)
    far = torch.where(seen.success, lp.norm(seen.images - field.data.images, subject.norm), torch.inf)
    return rows[far.argsort(stable=True)[: subject.effort.queried]]


def _by_queries(subject: AuditSubject, rows: Tensor) -> Mask:
    """Which images of the sample Square or HopSkipJump breaks, as a mask over all images of the field."""
    found = torch.zeros(len(subject.field.data), dtype=torch.bool)
    queries = subject.effort.queries
    attacks: tuple[Attack, ...] = (
        Square(subject.eps, queries, norm=subject.norm),
        HopSkipJump(queries, subject.norm, eps=subject.eps),
    )
    for attack in attacks:
        left = rows[~found[rows]]
        if len(left):
            field = subject.among(left)
            found[left] = subject.broken(subject.attack(attack, field, salt=4).images, field)
    return found


def _by_square(subject: AuditSubject) -> Mask:
    """What the ensemble's own Square broke, or nothing could break but queries."""
    by_queries = [part.spec.startswith((f"{Square.name}:", HopSkipJump.name)) for part in subject.evaluation.parts]
    number = subject.evaluation.broken_by
    if not by_queries:
        return number >= 0
    return (number >= 0) & torch.tensor(by_queries)[number.clamp_min(0)]


def _not_by_gradients(subject: AuditSubject, found: Mask) -> Mask:
    """Those that margin APGD towards every rival, from another start, does not break even afterwards."""
    found = found.clone()
    if found.any():
        rivals = min(9, subject.classes - 1)
        attack = APGD(subject.eps, loss="margin", targets=rivals, norm=subject.norm)
        found[found.clone()] = ~subject.attack(attack, subject.among(found), salt=4).success
    return found


def _only_by_transfer(subject: AuditSubject) -> Mask:
    """What PGD on the surrogate breaks among the images that the evaluation left standing."""
    found = subject.standing.clone()
    if found.any():
        field = subject.among(found)
        found[found.clone()] = subject.broken(transferred(subject, field)[0], field)
    return found


def transferred(subject: AuditSubject, field: Prepared) -> tuple[Images, Mask]:
    """What PGD finds on the surrogate, and where it fools the surrogate."""
    assert subject.claim.surrogate is not None
    attack = PGD(subject.eps, norm=subject.norm)
    outcome = replace(field, model=subject.claim.surrogate).run(attack, Draws.keyed(subject.seed, field.data.index))
    return outcome.images, field.goal.reached(subject.claim.surrogate.predict(outcome.images))
