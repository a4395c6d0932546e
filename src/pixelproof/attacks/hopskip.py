"""HopSkipJump: the smallest perturbation from decisions alone, for models that show nothing but a label."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from pixelproof import lp
from pixelproof.attacks.attack import Kind, Model, check_settings, limit
from pixelproof.attacks.nearest import Nearest
from pixelproof.attacks.watch import Watched, watch
from pixelproof.draws import Draws, Rng
from pixelproof.lp import Ball
from pixelproof.specs import derived
from pixelproof.types import Goal, Images, Mask, PerImage

FIRST_PROBE = 0.1  # how far the first gradient estimate looks
HALVINGS = 30  # of a jump that lands on the wrong side, before the image stays where it is
COPIES = 256  # probes, over all images, that share one pass
MOST_SAMPLES = 10_000


@dataclass(frozen=True)
class HopSkipJump:
    """HopSkipJump (Chen, Jordan & Wainwright 2020, arXiv 1904.02144) for l2 and linf: labels only, no scores.

    From a random image on the right side: bisection to the boundary; the normal there estimated from the decisions on
    `samples` sqrt(t) random probes; a jump of distance / sqrt(t) along it, halved until it lands well; again. Exactly
    `queries` passes are spent on every image that does not leave earlier, whatever the phase they end in. Starts are
    noise of several coarsenesses, for fine noise alone is one class to many models; a target that no start meets
    within `tries` is given up. With `eps` an image leaves as soon as it succeeds inside the budget.
    """

    queries: int = 5000
    norm: Ball = "l2"
    samples: int = 100
    tries: int = 100
    eps: float | None = field(default=None, metadata=derived("none: the smallest perturbation, whatever its size"))

    name: ClassVar[str] = "hop-skip-jump"
    kind: ClassVar[Kind] = "minimal"
    draws: ClassVar[bool] = True
    targetable: ClassVar[bool] = True

    def __post_init__(self) -> None:
        counts = {"queries": self.queries, "samples": self.samples, "tries": self.tries}
        check_settings(self.name, eps=self.eps, norm=self.norm, at_least_one=counts)

    def __call__(self, model: Model, images: Images, goal: Goal, rng: Rng) -> Images:
        """The nearest adversarial image found, or the last one tried where none was; cut back to `eps` if given."""
        eps = limit(self.eps, images, goal)
        oracle = Oracle(watch(model, goal), goal, Nearest.begin(images, self.norm), self.queries)
        draws = Draws.of(rng, len(images))
        values = images[0].numel()
        tolerance = values**-1.5 if self.norm == "l2" else float(values) ** -2
        x, rows = self._starts(oracle, images, draws)
        x[rows] = self._to_boundary(oracle, rows, x[rows], tolerance)
        turn = 0
        while (rows := rows[_open(oracle, rows, eps)]).numel():
            turn += 1
            here, clean = x[rows], images[rows]
            distance = lp.norm(here - clean, self.norm)
            spread = math.sqrt(values) if self.norm == "l2" else values
            probe = torch.full_like(distance, FIRST_PROBE) if turn == 1 else spread * tolerance * distance
            count = min(int(self.samples * math.sqrt(turn)), MOST_SAMPLES)
            normal = oracle.normal(rows, here, probe.clamp_min(1e-6), draws, count=count, ball=self.norm)
            landed = self._jump(oracle, rows, here, normal, distance / math.sqrt(turn))
            x[rows] = self._to_boundary(oracle, rows, landed, tolerance)
        return oracle.nearest.within(eps)

    def _starts(self, oracle: Oracle, images: Images, draws: Draws) -> tuple[Images, Tensor]:
        """One adversarial image per row where a try met one, and the rows where it did."""
        x, rows = images.clone(), torch.arange(len(images), device=images.device)
        hit = oracle.ask(rows, images)  # an image that is misclassified already needs no search
        met, rows = [rows[hit]], rows[~hit]
        for attempt in range(self.tries):
            if not len(rows):
                break
            x[rows] = _noise(draws[rows.cpu()], images[rows], coarseness=attempt % 4)
            hit = oracle.ask(rows, x[rows])
            met.append(rows[hit])
            rows = rows[~hit]
        return x, torch.cat(met).sort().values

    def _to_boundary(self, oracle: Oracle, rows: Tensor, far: Images, tolerance: float) -> Images:
        """The adversarial end of a bisection between the clean images and `far` (linf: between two radii)."""
        clean = oracle.nearest.clean[rows]
        low = torch.zeros(len(rows), device=far.device)
        high = torch.ones_like(low) if self.norm == "l2" else lp.norm(far - clean, "linf")
        best = far
        for _ in range(math.ceil(math.log2(1 / tolerance))):
            middle = (low + high) / 2
            if self.norm == "l2":
                tried = clean + lp.per_image(middle) * (far - clean)
            else:
                tried = clean + lp.project(far - clean, middle, "linf")
            hit = oracle.ask(rows, tried)
            low, high = torch.where(hit, low, middle), torch.where(hit, middle, high)
            best = torch.where(lp.per_image(hit), tried, best)
        return best

    def _jump(self, oracle: Oracle, rows: Tensor, here: Images, normal: Images, size: PerImage) -> Images:
        """A step along the normal, halved until it lands on the adversarial side; where none does, no step."""
        landed, trying = here.clone(), torch.arange(len(rows), device=rows.device)
        for _ in range(HALVINGS):
            trying = trying[oracle.left[rows[trying]] > 0]
            if not len(trying):
                break
            tried = (here[trying] + lp.per_image(size[trying]) * normal[trying]).clamp(0, 1)
            hit = oracle.ask(rows[trying], tried)
            landed[trying[hit]] = tried[hit]
            trying = trying[~hit]
            size = size / 2
        return landed


class Oracle:
    """What answers "adversarial or not", never more than `queries` times per image, and keeps the nearest yes."""

    def __init__(self, model: Watched, goal: Goal, nearest: Nearest, queries: int) -> None:
        self.model, self.goal, self.nearest = model, goal, nearest
        self.left = torch.full((len(goal),), queries, device=nearest.clean.device)

    def ask(self, rows: Tensor, images: Images) -> Mask:
        """Whether each image is adversarial; "no" for those whose row has no query left."""
        can = self.left[rows] > 0
        hit = torch.zeros_like(can)
        if can.any():
            asked = rows[can]
            with torch.no_grad():
                hit[can] = self.goal[asked].reached(self.model[asked](images[can]))
            self.left[asked] -= 1
            self.nearest.note(images[can], hit[can], asked)
        return hit

    def normal(
        self, rows: Tensor, here: Images, probe: PerImage, draws: Draws, *, count: int, ball: Ball
    ) -> Images:  # fmt: skip
        """The boundary's normal at `here`, towards the adversarial side, from at most `count` decisions per row."""
        ups, total = torch.zeros_like(here), torch.zeros_like(here)
        yes, asked = torch.zeros_like(probe), torch.zeros_like(probe)
        live = torch.arange(len(rows), device=rows.device)
        while (live := live[(asked[live] < count) & (self.left[rows[live]] > 0)]).numel():
            room = torch.minimum(count - asked[live].long(), self.left[rows[live]])
            copies = min(max(COPIES // len(live), 1), int(room.min()))
            drawn = draws[rows[live].cpu()]
            noise = (
                drawn.normal(copies, *here.shape[1:])
                if ball == "l2"
                else 2 * drawn.uniform(copies, *here.shape[1:]) - 1
            )
            noise = noise.to(here.device)
            noise = noise / torch.linalg.vector_norm(noise.flatten(2), dim=2)[:, :, None, None, None]
            size = probe[live].view(-1, 1, 1, 1, 1)
            tried = (here[live, None] + size * noise).clamp(0, 1)
            with torch.no_grad():
                logits = self.model[rows[live]](tried.transpose(0, 1).flatten(0, 1))
            goal = self.goal[rows[live].repeat(copies)]
            hit = goal.reached(logits).view(copies, len(live)).to(probe.dtype)
            moved = (tried - here[live, None]) / size
            for k in range(copies):  # one after the other, so that the sum does not depend on the company
                ups[live] += lp.per_image(hit[k]) * moved[:, k]
                total[live] += moved[:, k]
                yes[live] += hit[k]
            asked[live] += copies
            self.left[rows[live]] -= copies
        share = yes / asked.clamp_min(1)
        mixed = (share > 0) & (share < 1)
        estimate = torch.where(
            lp.per_image(mixed), ups - lp.per_image(share) * total, total * lp.per_image(share - 0.5)
        )
        return lp.ascent(estimate, ball)


def _open(oracle: Oracle, rows: Tensor, eps: Tensor | None) -> Mask:
    """Which rows have queries left and are not inside their budget yet."""
    left = oracle.left[rows] > 0
    return left if eps is None else left & (oracle.nearest.distance[rows] > eps[rows])


def _noise(draws: Draws, images: Images, *, coarseness: int) -> Images:
    """Uniform noise in squares of 2 ** coarseness pixels."""
    channels, height, width = images.shape[1:]
    side = 2**coarseness
    drawn = draws.uniform(channels, -(-height // side), -(-width // side)).to(images.device)
    return F.interpolate(drawn, scale_factor=float(side), mode="nearest")[:, :, :height, :width]
