"""The same search again, from another start or towards another rival, on the images that still stand."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

import torch
from torch import Tensor

from pixelproof.attacks.attack import Model
from pixelproof.attacks.objectives import Loss, Objective, rivals
from pixelproof.attacks.watch import Watched, watch
from pixelproof.draws import Draws, Rng
from pixelproof.types import Goal, Images, Mask, PerImage

Wanted = TypeVar("Wanted", bound=Goal)
Search = Callable[[Watched, Images, Wanted, Draws], tuple[Images, Mask, PerImage]]


def best_of_restarts(
    search: Search[Wanted], model: Model, images: Images, goal: Goal, rng: Rng, *, objectives: Iterable[Wanted]
) -> Images:
    """Per image the first result that reaches the goal, else the one with the lowest loss over all objectives.

    `search` gives images, whether each reached the goal, and its loss.
    """
    watched, draws = watch(model, goal), Draws.of(rng, len(images))
    best = images.clone()
    lowest = torch.full((len(images),), float("inf"), device=images.device)
    rows = torch.arange(len(images), device=images.device)
    for objective in objectives:
        found, reached, loss = search(watched[rows], images[rows], objective[rows], draws[rows.cpu()])
        better = reached | (loss < lowest[rows])
        best[rows[better]], lowest[rows[better]] = found[better], loss[better]
        rows = rows[~reached]
        if not len(rows):
            break
    return best


def objectives_for(
    model: Model, images: Images, goal: Goal, *, kind: Loss, targets: int = 0, restarts: int = 1, first: int = 0
) -> list[Objective]:
    """`restarts` times the plain objective, or, with `targets`, one per rival of the clean image, strongest first.

    Rivals before number `first` are left out. A targeted goal has one target, so it is only repeated.
    """
    if not targets or goal.targeted:
        return [Objective.of(goal, kind)] * restarts
    with torch.no_grad():
        logits: Tensor = watch(model, goal)(images)
    order = rivals(goal.seen(logits), goal.labels, first + targets)[:, first:]
    return [Objective.of(goal, kind, order[:, k]) for _ in range(restarts) for k in range(order.shape[1])]
