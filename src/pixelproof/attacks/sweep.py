"""sweep: a whole robustness curve for a fraction of what its points cost one by one."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from pixelproof import lp
from pixelproof.attacks.attack import Attack, within
from pixelproof.attacks.gradient import PGD
from pixelproof.attacks.mount import Outcome, Prepared, Progress, mount, verify
from pixelproof.attacks.result import AdversarialSet
from pixelproof.attacks.watch import Watched
from pixelproof.data import Dataset
from pixelproof.draws import Draws, check_seed
from pixelproof.errors import BadInput
from pixelproof.models import Classifier, frozen
from pixelproof.types import Goal, Images, Mask, PerImage

ROUNDING = 1e-6  # how far float32 may carry a perturbation past its budget


def sweep(
    attack: Attack,
    model: Classifier,
    data: Dataset,
    eps: Sequence[float],
    *,
    independent: bool = False,
    seed: int = 0,
    progress: Progress | None = None,
) -> list[AdversarialSet]:
    """One AdversarialSet per budget, in the order given.

    What fools the model at a small eps fools it at a larger one: successes are carried up, so the curve is monotone
    by construction. PGD bisects the grid image by image, each search starting from the last one's end (not against a
    random model, where it climbs); an attack without a budget runs once; any other climbs the grid with the images
    that still stand. `independent` carries
    nothing: every eps is attacked from scratch, as the papers' tables do (a search without a budget is still run once,
    for it does the same at every eps, and its result is cut back to each).
    """
    if not len(eps):
        raise BadInput("sweep", "at least one eps is needed", "none")
    check_seed(seed)
    at = [within(attack, float(value)) for value in eps]
    if independent and attack.kind != "minimal":
        return [mount(each, model, data, seed=seed, progress=_part(progress, k, len(at))) for k, each in enumerate(at)]
    field = Prepared.of(model, data, None, None)
    with field.seeded(seed):
        return _swept(attack, field, at, independent, seed, progress)


def _swept(
    attack: Attack, field: Prepared, at: list[Attack], independent: bool, seed: int, progress: Progress | None
) -> list[AdversarialSet]:
    """The sets of `attack` at each of the budgets that `at` holds, in their order."""
    order = sorted(range(len(at)), key=lambda k: at[k].eps or 0.0)
    climbing = [at[k] for k in order]
    bisected = [each for each in climbing if isinstance(each, PGD)]
    if bisected and field.random is None:  # a search by halves needs answers that are certain
        outcomes = bisect(field, bisected, seed, progress)
    elif attack.kind == "minimal":
        found = field.run(within(attack, None), Draws.keyed(seed, field.data.index), progress=progress)
        outcomes = reuse(field, climbing, found, carry=not independent)
    else:
        outcomes = climb(field, climbing, seed, progress)
    sets: dict[int, AdversarialSet] = {}
    before = None
    for k, outcome in zip(order, outcomes, strict=True):
        verify(attack.name, field.clean, outcome.images, at[k].norm, at[k].eps)
        sets[k] = field.judge(outcome, at[k], seed, before=before)
        before = None if independent else sets[k]
    return [sets[k] for k in range(len(at))]


def reuse(field: Prepared, attacks: Sequence[Attack], found: Outcome, *, carry: bool) -> list[Outcome]:
    """One outcome without a budget cut back to every budget; with `carry`, the first cut that fools is kept."""
    clean, norm = field.clean, attacks[0].norm
    size = lp.norm(found.images - clean, norm)
    fooling = field.goal.reached(field.model.predict(found.images))
    images, standing, outcomes = clean, torch.ones(len(clean), dtype=torch.bool), []
    for attack in attacks:
        radius = torch.full_like(size, attack.eps or 0.0)
        cut = (clean + lp.project(found.images - clean, radius, norm)).clamp(0, 1)
        whole = fooling & (size <= radius)
        cut[whole] = found.images[whole]
        images = torch.where(standing.view(-1, 1, 1, 1), cut, images)
        outcomes.append(replace(found, images=images))
        if carry and standing.any():
            standing[standing.clone()] = ~field.goal[standing].reached(field.model.predict(images[standing]))
    return outcomes


def climb(field: Prepared, attacks: Sequence[Attack], seed: int, progress: Progress | None) -> list[Outcome]:
    """Each budget in turn, on the images that every smaller one left standing; all draw the same random numbers."""
    total: Outcome | None = None
    images, standing = field.clean, torch.ones(len(field.data), dtype=torch.bool)
    outcomes = []
    for k, attack in enumerate(attacks):
        if standing.any():
            part = replace(field, data=field.data[standing], goal=field.goal[standing])
            outcome = part.run(attack, Draws.keyed(seed, part.data.index), progress=_part(progress, k, len(attacks)))
            total = _add(total, outcome, standing)
            images = images.clone()
            images[standing] = outcome.images
            standing[standing.clone()] = ~part.fooled(outcome.images)
        outcomes.append(images)
    assert total is not None
    return [replace(total, images=found) for found in outcomes]


def _add(total: Outcome | None, outcome: Outcome, rows: Mask) -> Outcome:
    """The running cost of a climb: passes summed per image, the first break kept."""
    n = len(rows)
    if total is None:
        return outcome
    forwards, backwards, first = total.forwards.clone(), total.backwards.clone(), total.first_break.clone()
    fresh = torch.full((n,), -1)
    fresh[rows] = torch.where(outcome.first_break >= 0, outcome.first_break + forwards[rows], -1)
    first = torch.where(first >= 0, first, fresh)
    forwards[rows] += outcome.forwards
    backwards[rows] += outcome.backwards
    seconds = total.seconds + outcome.seconds
    notes = tuple(sorted({*total.notes, *outcome.notes}))
    return Outcome(total.images, first, forwards, backwards, seconds, notes)


def bisect(
    field: Prepared,
    attacks: Sequence[PGD],
    seed: int,
    progress: Progress | None,
    *,
    known: AdversarialSet | None = None,
) -> list[Outcome]:
    """Per image, the smallest budget of the grid at which PGD succeeds, by bisection.

    `known`, what another attack found on the same images, says where to look first: just below it, from its point.
    """
    started = time.perf_counter()
    draws = Draws.keyed(seed, field.data.index)
    grid = torch.tensor([attack.eps for attack in attacks])
    found: list[list[Images]] = [[] for _ in attacks]
    counts, notes = [], set[str]()
    with frozen(field.model):
        for start in range(0, len(field.data), field.batch):
            rows = torch.arange(start, min(start + field.batch, len(field.data)))
            clean, goal = field.data[rows].images.to(field.model.device), field.goal[rows].to(field.model.device)
            watched = Watched(field.model, goal)
            bisection = Bisection(attacks[0], grid.to(clean.device), watched, clean, goal)
            if known is not None:
                bisection.begin_at(known.images[rows], known.minimal(attacks[0].norm)[rows])
            curve = bisection.run(draws[rows])
            for k, images in enumerate(curve):
                found[k].append(images.cpu())
            tally = watched.tally
            notes |= tally.notes
            counts.append(torch.stack([tally.first_break, tally.forwards, tally.backwards]).cpu())
            if progress:
                progress(int(rows[-1]) + 1, len(field.data))
    first_break, forwards, backwards = torch.cat(counts, dim=1)
    seconds = time.perf_counter() - started
    said = tuple(sorted(notes))
    return [Outcome(torch.cat(images), first_break, forwards, backwards, seconds, said) for images in found]


class Bisection:
    """The search for each image's smallest breaking budget on a grid of ascending budgets.

    `high` is the smallest grid position known to break an image (or the grid's length), `low` the largest known to
    hold (or -1). Every later search starts where the last one ended, scaled to the new budget.
    """

    def __init__(self, attack: PGD, grid: Tensor, model: Watched, clean: Images, goal: Goal) -> None:
        self.attack, self.grid, self.model, self.clean, self.goal = attack, grid, model, clean, goal
        n = len(clean)
        self.low = torch.full((n,), -1, device=clean.device)
        self.high = torch.full((n,), len(grid), device=clean.device)
        self.broken = clean.clone()  # the image that broke at `high`
        self.last = clean.clone()  # where the last search ended
        self.last_eps = torch.zeros(n, device=clean.device)
        self.informed = torch.zeros(n, dtype=torch.bool, device=clean.device)

    def begin_at(self, images: Images, distance: PerImage) -> None:
        """Start from adversarial images at these distances (infinite where there is none)."""
        images, distance = images.to(self.clean.device), distance.to(self.clean.device)
        at = torch.searchsorted(self.grid + ROUNDING, distance)
        self.informed = distance.isfinite()
        self.high = torch.where(self.informed, at, self.high)
        self.last[self.informed] = self.broken[self.informed] = images[self.informed]
        self.last_eps = torch.where(self.informed, distance, self.last_eps)

    def run(self, draws: Draws) -> list[Images]:
        """One batch of images per budget of the grid."""
        while (open_ := (self.high - self.low > 1).nonzero()[:, 0]).numel():
            self._round(open_, draws)
        reach = torch.where(self.high < len(self.grid), self.high, len(self.grid) - 1)
        ends = torch.where((self.high < len(self.grid)).view(-1, 1, 1, 1), self.broken, self.last)
        curve = []
        for k in range(len(self.grid)):
            radius = self.grid[k].expand(len(self.clean))
            inside = lp.project(ends - self.clean, radius, self.attack.norm)
            curve.append(torch.where((reach <= k).view(-1, 1, 1, 1), ends, (self.clean + inside).clamp(0, 1)))
        return curve

    def _round(self, rows: Tensor, draws: Draws) -> None:
        middle = (self.low[rows] + self.high[rows]) // 2
        middle = torch.where(self.informed[rows], self.high[rows] - 1, middle)  # what is known is nearly the smallest
        eps, clean, warm = self.grid[middle], self.clean[rows], self.last_eps[rows] > 0
        ended, reached = self._search(rows, draws, eps, warm)
        self.last[rows], self.last_eps[rows] = ended, eps
        size: PerImage = lp.norm(ended - clean, self.attack.norm)
        fits = torch.searchsorted(self.grid + ROUNDING, size)  # a success may already fit a smaller budget
        won, lost = rows[reached], rows[~reached]
        self.high[won] = torch.minimum(middle, fits)[reached]
        self.broken[won] = ended[reached]
        self.low[lost] = middle[~reached]
        self.low = torch.minimum(self.low, self.high - 1)

    def _search(self, rows: Tensor, draws: Draws, eps: PerImage, warm: Mask) -> tuple[Images, Mask]:
        """Where a search at budget `eps` ended, and whether it fooled; a warm one takes half of the steps."""
        clean = self.clean[rows]
        scale = eps / torch.where(warm, self.last_eps[rows], 1.0)
        start = (clean + (self.last[rows] - clean) * lp.per_image(scale)).clamp(0, 1)
        if not warm.all():
            start[~warm] = self.attack.start(clean[~warm], draws[rows[~warm]], eps[~warm])
        attack = replace(self.attack, steps=max(1, self.attack.steps // 2)) if warm.any() else self.attack
        ended, reached, lowest = attack.descent(clean, eps)(self.model[rows], clean, self.goal[rows], start)
        for _ in range(self.attack.restarts - 1):
            again = (~reached).nonzero()[:, 0]
            if not len(again):
                break
            start = self.attack.start(clean[again], draws[rows[again]], eps[again])
            walk = self.attack.descent(clean[again], eps[again])
            found, hit, loss = walk(self.model[rows[again]], clean[again], self.goal[rows[again]], start)
            better = hit | (loss < lowest[again])
            ended[again[better]], lowest[again[better]], reached[again] = found[better], loss[better], hit
        return ended, reached


def _part(progress: Progress | None, k: int, parts: int) -> Progress | None:
    """Progress of the k-th of several equal parts."""
    if progress is None:
        return None
    return lambda done, total: progress(k * total + done, parts * total)
