"""curve: robust accuracy over a whole range of budgets for a fraction of what the points cost one by one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from pixelproof.attacks import FMN, PDPGD, PGD, AdversarialSet, Attack, SigmaZero
from pixelproof.attacks.attack import check_budget
from pixelproof.attacks.mount import Prepared
from pixelproof.attacks.sweep import bisect
from pixelproof.data import Dataset
from pixelproof.draws import Draws
from pixelproof.errors import BadInput
from pixelproof.measure.clock import Clock, TimeUp
from pixelproof.models import Classifier
from pixelproof.results import Evaluation, RobustnessCurve, catalogue
from pixelproof.run import Run
from pixelproof.types import Norm, PerImage

PORTION = 100  # images searched between two looks at the clock
STEPS = 20  # of FMN, where PGD goes on from what it found
SECOND: dict[Norm, Attack] = {"l1": PDPGD("l1"), "l0": SigmaZero(steps=300)}


def curve(
    model: Classifier,
    data: Dataset,
    eps: Sequence[float],
    *,
    norm: Norm = "linf",
    seed: int = 0,
    known: Evaluation | None = None,
    budget: float | None = None,
    run: Run | None = None,
    tell: Callable[[int, int], None] | None = None,
) -> RobustnessCurve:
    """The better of two searches, image by image, at ascending budgets `eps`.

    For linf and l2 FMN and PGD-40, which starts at what FMN found and bisects the budgets below it; for l1 FMN and
    PDPGD, for l0 FMN and sigma-zero. `known` adds what an evaluation of the same images broke. After `budget` seconds
    the rest is left unsearched. With `run` the curve is kept there as "curve" and goes on where it stopped,
    also at other budgets: what was searched is not searched again.
    """
    if list(eps) != sorted(set(eps)) or not len(eps):
        raise BadInput("curve", "budgets must ascend", tuple(eps))
    check_budget("curve", eps[-1], norm)
    clock = Clock(budget)
    field = Prepared.of(model, data, None, None)
    if field.random is not None:
        raise BadInput(
            "curve", "the model must be deterministic", "a random one", "Evaluate it at each budget instead."
        )
    n = len(field.data)
    digests = model.digest(), data.digest()
    nothing = torch.full((n,), torch.inf)
    found = RobustnessCurve(norm, tuple(eps), field.data.index, nothing, 0, field.offered, seed, digests)
    if known is not None:
        found = replace(found, distance=_known(known, found))
    if run is not None and catalogue.CURVE.has(run):
        kept = catalogue.CURVE.load(run)
        if kept.norm != norm or not torch.equal(kept.index, found.index):
            got = f"one in {kept.norm} of {len(kept.index)} images"
            raise BadInput(
                "curve", f"the run must hold a curve in {norm} of the same images", got, "Use another folder."
            )
        _check_same("the run must hold a curve", kept.digests, digests, do="Use another folder.")
        if kept.seed != seed:
            raise BadInput("curve", f"the run must hold a curve of seed {seed}", kept.seed, "Use another folder.")
        found = replace(kept, eps=tuple(eps), distance=torch.minimum(kept.distance, found.distance))
    with clock.watching(model):
        while found.searched < n:
            rows = torch.arange(found.searched, min(found.searched + PORTION, n))
            try:
                part = replace(field, data=field.data[rows], goal=field.goal[rows])
                distance = _search(part, norm, found.eps, seed)
            except TimeUp:
                break
            better = torch.minimum(found.distance[rows], distance)
            found = replace(
                found,
                distance=torch.cat([found.distance[: rows[0]], better, found.distance[rows[-1] + 1 :]]),
                searched=int(rows[-1]) + 1,
            )
            if run is not None:
                catalogue.CURVE.save(run, found)
            if tell is not None:
                tell(found.searched, n)
    return found


def _known(known: Evaluation, found: RobustnessCurve) -> PerImage:
    """The distances at which an evaluation broke the images."""
    if known.norm != found.norm or not torch.equal(known.index, found.index):
        raise BadInput("curve", "the evaluation must be of the same images in the same norm", known.attack)
    _check_same("the evaluation must be", known.digests, found.digests, do="Evaluate this model.")
    return torch.where(known.success, known.distance, torch.inf)


def _check_same(what: str, kept: tuple[str, str], wanted: tuple[str, str], *, do: str) -> None:
    """Refuse what was found on another model, or on other pixels at the same positions."""
    for kind, one, other in zip(("model", "pixels and labels"), kept, wanted, strict=True):
        if one != other:
            raise BadInput("curve", f"{what} of the {kind} {other}", one or "an older one, which does not say", do)


def _search(field: Prepared, norm: Norm, budgets: tuple[float, ...], seed: int) -> PerImage:
    """The smallest distances at which the images of `field` are found to break."""

    def mounted(attack: Attack) -> AdversarialSet:
        return field.judge(field.run(attack, Draws.keyed(seed, field.data.index)), attack, seed)

    if norm == "l1" or norm == "l0":
        return torch.minimum(mounted(FMN(norm)).minimal(norm), mounted(SECOND[norm]).minimal(norm))
    before = mounted(FMN(norm, steps=STEPS))
    best = before.minimal(norm)
    climbing = [PGD(budget, norm=norm) for budget in budgets]
    for outcome, attack in zip(bisect(field, climbing, seed, None, known=before), climbing, strict=True):
        before = field.judge(outcome, attack, seed, before=before)
        best = torch.minimum(best, before.minimal(norm))
    return best
