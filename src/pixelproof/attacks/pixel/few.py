"""Attacks that change at most k pixels: greedy from the one-pixel map, then random search over sets of pixels."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from pixelproof.attacks.attack import Kind, Model
from pixelproof.attacks.pixel.engine import Choice
from pixelproof.attacks.pixel.margins import check_attack
from pixelproof.attacks.pixel.search import OnePixel
from pixelproof.attacks.watch import Watched, watch
from pixelproof.draws import Draws, Rng
from pixelproof.errors import BadInput
from pixelproof.models import frozen
from pixelproof.specs import derived
from pixelproof.types import Goal, Images, Norm

FIRST_SHARE = 0.3  # share of the pixels exchanged at first; it falls along SCHEDULE as in the paper
SCHEDULE = ((0.005, 1.0), (0.02, 2.0), (0.05, 4.0), (0.1, 5.0), (0.2, 6.0), (0.4, 8.0), (0.6, 10.0), (0.8, 12.0))


@dataclass(frozen=True)
class FewPixel:
    """At most `k` pixels, in corner colours.

    First greedily: the best single change among `ranked` positions, k times. Where that fails, Sparse-RS (Croce et al.
    2022, arXiv 2006.12834) for `queries` queries: exchange a falling share of the pixels for random ones with random
    corner colours, and keep the exchange unless the margin rises. The greedy set is the start.
    """

    name: ClassVar[str] = "few-pixel"
    kind: ClassVar[Kind] = "fixed"
    draws: ClassVar[bool] = True
    targetable: ClassVar[bool] = True
    norm: ClassVar[Norm] = "l0"
    k: int = 3
    queries: int = 2000
    ranked: int = 64
    executor: Choice = field(default="auto", metadata=derived("incremental where the network can be read, else full"))

    def __post_init__(self) -> None:
        if self.k < 1:
            raise BadInput(self.name, "k must be >= 1", self.k, "Allow at least one pixel.")
        if self.queries < 0 or self.ranked < 1:
            raise BadInput(self.name, "queries must be >= 0 and ranked >= 1", (self.queries, self.ranked))

    @property
    def eps(self) -> float:
        """The budget: k pixels."""
        return float(self.k)

    def __call__(self, model: Model, images: Images, goal: Goal, rng: Rng) -> Images:
        """The best image found for each; every candidate and every query counts as one forward pass."""
        watched = watch(model, goal)
        classifier = watched.classifier
        check_attack(self.name, classifier, images, goal)
        if self.k > images.shape[2] * images.shape[3]:
            raise BadInput(self.name, f"an image has {images.shape[2] * images.shape[3]} pixels", f"k={self.k}")
        draws = Draws.of(rng, len(images))
        best = self._greedy(watched, images, goal, rng)
        with frozen(classifier), torch.no_grad():
            value, hit = self._judge(watched, best)
            for query in range(self.queries):
                rows = (~hit).nonzero()[:, 0]
                if not len(rows):
                    break
                trial = self._exchange(images[rows], best[rows], draws[rows], query)
                new, found = self._judge(watched[rows.to(images.device)], trial)
                better = new <= value[rows]
                best[rows[better]] = trial[better]
                value[rows[better]] = new[better]
                hit[rows[better]] = found[better]
        return best

    def _greedy(self, model: Watched, images: Images, goal: Goal, rng: Rng) -> Images:
        """The images after k best single changes (fewer where the goal is reached earlier)."""
        best = images.clone()
        rows = torch.arange(len(images))
        for _ in range(self.k):
            step = OnePixel(self.ranked, "never", executor=self.executor)
            best[rows] = step(model[rows.to(images.device)], best[rows], goal[rows.to(images.device)], rng)
            reached = model.tally.first_break[rows.to(images.device)] >= 0
            rows = rows[~reached.cpu()]
            if not len(rows):
                break
        return best

    def _exchange(self, clean: Images, best: Images, draws: Draws, query: int) -> Images:
        """Some changed pixels put back and as many others set, so that at most k differ from the clean image."""
        n, channels, height, width = clean.shape
        share = FIRST_SHARE / max([1.0, *(by for after, by in SCHEDULE if query >= after * self.queries)])
        exchanged = max(1, round(share * self.k))
        random = draws.uniform(height * width + self.k * channels).to(clean.device)
        order = random[:, : height * width]
        changed = (best != clean).any(1).flatten(1)
        keep = self.k - exchanged
        old = order.masked_fill(~changed, 2.0).argsort(1)[:, :keep]
        old_is_real = changed.gather(1, old)
        new = order.masked_fill(changed, -1.0).argsort(1, descending=True)[:, :exchanged]
        colours = (random[:, height * width :].view(n, self.k, channels)[:, :exchanged] < 0.5).to(clean.dtype)
        trial = clean.flatten(2).clone()
        source = torch.where(old_is_real[:, None], best.flatten(2).gather(2, _wide(old, channels)), 0.0)
        kept = torch.where(old_is_real[:, None], source, trial.gather(2, _wide(old, channels)))
        trial.scatter_(2, _wide(old, channels), kept)
        trial.scatter_(2, _wide(new, channels), colours.transpose(1, 2))
        return trial.view_as(clean)

    @staticmethod
    def _judge(model: Watched, images: Images) -> tuple[Tensor, Tensor]:
        """Margin and success of each image."""
        logits = model(images)
        return model.goal.margin(logits).cpu(), model.goal.reached(logits).cpu()


def _wide(places: Tensor, channels: int) -> Tensor:
    return places[:, None].expand(-1, channels, -1)
