"""The one-pixel attack by differential evolution (Su, Vargas & Sakurai 2017, arXiv 1710.08864): the baseline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from pixelproof.attacks.attack import Kind, Model
from pixelproof.attacks.pixel.engine import BATCH
from pixelproof.attacks.pixel.margins import check_attack
from pixelproof.attacks.watch import Watched, watch
from pixelproof.draws import Draws, Rng
from pixelproof.errors import BadInput
from pixelproof.models import frozen
from pixelproof.types import Goal, Images, Norm

LARGEST = 10_000  # members: 25 times the paper's; the numbers that choose their parents grow with the square
VALUES = 2**20  # members times pixels of one image
DRAWN = 2**24  # random numbers that are kept together while parents are chosen
WEIGHT = 0.5  # of the difference between two members


@dataclass(frozen=True)
class OnePixelDE:
    """Differential evolution over (row, column, colour) of `pixels` pixels: rand/1 mutation, weight 0.5, no crossover.

    A child replaces its parent when the label's probability is lower (higher when targeted). The first population is
    uniform in position and normal (mean 128, deviation 127, of 255) in colour; coordinates are clipped and colours
    rounded to 8 bits. An image leaves the search as soon as one member fulfils the goal: the target class itself when
    targeted. At most population * (iterations + 1) queries per image.
    """

    name: ClassVar[str] = "one-pixel-de"
    kind: ClassVar[Kind] = "fixed"
    draws: ClassVar[bool] = True
    targetable: ClassVar[bool] = True
    norm: ClassVar[Norm] = "l0"
    population: int = 400
    iterations: int = 100
    pixels: int = 1

    def __post_init__(self) -> None:
        if not 4 <= self.population <= LARGEST:
            expected = f"population must lie in 4..{LARGEST} (a mutation needs three others)"
            raise BadInput(self.name, expected, self.population, "The paper uses 400.")
        if self.iterations < 0:
            raise BadInput(self.name, "iterations must be >= 0", self.iterations, "0 tries the first population only.")
        if self.pixels < 1:
            raise BadInput(self.name, "pixels must be >= 1", self.pixels, "Allow at least one pixel.")
        if self.population * self.pixels > VALUES:
            raise BadInput(self.name, f"population * pixels must be <= {VALUES}", self.population * self.pixels)

    @property
    def eps(self) -> float:
        """The budget: how many pixels."""
        return float(self.pixels)

    def __call__(self, model: Model, images: Images, goal: Goal, rng: Rng) -> Images:
        """The best member of each image's last population; every member counts as one forward pass."""
        watched = watch(model, goal)
        classifier = watched.classifier
        check_attack(self.name, classifier, images, goal)
        draws = Draws.of(rng, len(images))
        if self.pixels > images[0, 0].numel():
            raise BadInput(self.name, f"an image has {images[0, 0].numel()} pixels", f"pixels={self.pixels}")
        with frozen(classifier), torch.no_grad():
            members = self._first(draws, images)
            fitness, hit = self._judge(watched, images, goal, members)
            for _ in range(self.iterations):
                rows = (~hit.any(1)).nonzero()[:, 0]
                if not len(rows):
                    break
                children = self._children(members[rows], draws[rows], images.shape)
                part = watched[rows.to(images.device)]
                value, found = self._judge(part, images[rows], part.goal, children)
                better = value < fitness[rows]
                members[rows] = torch.where(better[..., None, None], children, members[rows])
                fitness[rows] = torch.where(better, value, fitness[rows])
                hit[rows] = torch.where(better, found, hit[rows])
            best = torch.where(hit.any(1, keepdim=True), fitness.masked_fill(~hit, torch.inf), fitness).argmin(1)
            winner = members[torch.arange(len(images)), best]
            return paint(images, torch.arange(len(images)), winner)

    def _first(self, draws: Draws, images: Images) -> Tensor:
        """Members as (row, column, channels...) of every pixel, positions in pixels and colours in [0, 1]."""
        channels, height, width = images.shape[1:]
        shape = (len(images), self.population, self.pixels)
        place = draws.uniform(self.population, self.pixels * 2).view(*shape, 2) * torch.tensor([height, width])
        colour = (128 + 127 * draws.normal(self.population, self.pixels * channels).view(*shape, channels)) / 255
        return self._valid(torch.cat([place, colour], 3), images.shape)

    def _children(self, members: Tensor, draws: Draws, shape: torch.Size) -> Tensor:
        """One child per member, from three members that differ from it and from each other."""
        n, size = members.shape[:2]
        chosen = []
        for rows in torch.split(torch.arange(size), max(1, DRAWN // (n * size))):
            order = draws.uniform(len(rows), size)
            order[:, torch.arange(len(rows)), rows] = 2.0  # itself last
            chosen.append(order.topk(3, dim=2, largest=False).indices)
        others = torch.cat(chosen, 1)
        one, two, three = (members[torch.arange(n)[:, None], others[..., k]] for k in range(3))
        return self._valid(one + WEIGHT * (two - three), shape)

    @staticmethod
    def _valid(members: Tensor, shape: torch.Size) -> Tensor:
        top = torch.tensor([shape[2], shape[3]]) - 1.0
        place = members[..., :2].floor().clamp_min(0).minimum(top)
        colour = (members[..., 2:].clamp(0, 1) * 255).round() / 255
        return torch.cat([place, colour], -1)

    @staticmethod
    def _judge(model: Watched, images: Images, goal: Goal, members: Tensor) -> tuple[Tensor, Tensor]:
        """What to lower, and whether the goal is reached, for every member of every image."""
        n, size = members.shape[:2]
        owner = torch.arange(n).repeat_interleave(size)
        flat = members.flatten(0, 1)
        values, hits = [], []
        for start in range(0, n * size, BATCH):
            rows = owner[start : start + BATCH]
            logits = model.classifier(paint(images, rows, flat[start : start + BATCH]))
            part = goal[rows.to(images.device)]
            probability = logits.softmax(1).gather(1, part.labels[:, None])[:, 0]
            values.append((-probability if goal.targeted else probability).cpu())
            hits.append(part.reached(logits).cpu())
        hit = torch.cat(hits).view(n, size)
        first = torch.where(hit.any(1), hit.long().argmax(1) + 1, -1)
        model.spent(torch.full((n,), size), torch.zeros(n, dtype=torch.long), first)
        return torch.cat(values).view(n, size), hit


def paint(images: Images, rows: Tensor, members: Float[Tensor, "m pixels v"]) -> Float[Tensor, "m c h w"]:
    """Image `rows[i]` with the pixels (row, column, channels...) of member i set, for every i; the last one wins."""
    batch = images[rows]
    for pixel in members.unbind(1):
        place = pixel[:, :2].long()
        batch[torch.arange(len(rows)), :, place[:, 0], place[:, 1]] = pixel[:, 2:].to(batch)
    return batch
