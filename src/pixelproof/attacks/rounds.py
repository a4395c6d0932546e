"""Rounds: the same search again, from another start or towards another rival, on the images that still stand."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from pixelproof.attacks.attack import Model
from pixelproof.attacks.gradient import Precision
from pixelproof.attacks.objectives import Loss, Objective, rivals
from pixelproof.attacks.watch import Watched, watch
from pixelproof.draws import Draws, Rng
from pixelproof.models import native_bf16
from pixelproof.types import Goal, Images, Mask, PerImage

DOUBT = 0.02  # the largest error of a bfloat16 margin seen on digits and MNIST was 0.012 of the largest logit
Search = Callable[[Watched, Images, Objective, Draws], tuple[Images, Mask, PerImage]]


def rounds(
    search: Search, model: Model, images: Images, goal: Goal, rng: Rng, *, objectives: Iterable[Objective]
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


def in_half(precision: Precision, device: torch.device) -> bool:
    """Whether gradients are to be taken in bfloat16: always, never, or ("auto") where the processor has it."""
    return precision == "bf16" or (precision == "auto" and native_bf16(device))


def descend(
    model: Watched, images: Images, objective: Objective, *, half: bool = False
) -> tuple[Images, Mask, PerImage]:
    """Gradient of the objective's loss, whether the goal is reached (always judged in float32), and the loss.

    The images go through the model in the portions that suit the device. With `half` gradient and loss are those of a
    bfloat16 pass: coarse, but good enough to steer by.
    """
    gradient, hit, loss, _ = steer(model, images, objective, half=half)
    if half:
        confirm(model, images, objective, hit, hit)
    return gradient, hit, loss


def confirm(model: Watched, images: Images, objective: Objective, hit: Mask, asked: Mask) -> None:
    """Judge the images at `asked` by a float32 pass, and write what it says into `hit`."""
    if asked.any():
        with torch.no_grad():
            hit[asked.clone()] = objective[asked].reached(model[asked](images[asked]))


def steer(model: Watched, images: Images, objective: Objective, *, half: bool) -> tuple[Images, Mask, PerImage, Mask]:
    """Gradient, whether the goal seems reached, loss, and whether that is doubtful; all from one pass in its precision.

    Doubtful is an answer whose margin is less than `DOUBT` of the largest logit.
    """
    parts = model.parts()
    if len(parts) == 1:
        return _steer(model, images, objective, half)
    pieces = [_steer(model[part], images[part], objective[part], half) for part in parts]
    gradient, hit, loss, doubtful = (torch.cat(each) for each in zip(*pieces, strict=True))
    return gradient, hit, loss, doubtful


def _steer(model: Watched, images: Images, objective: Objective, half: bool) -> tuple[Images, Mask, PerImage, Mask]:
    images = images.detach().requires_grad_()
    with torch.enable_grad(), torch.autocast(images.device.type, dtype=torch.bfloat16, enabled=half):
        logits = model(images).float()
        loss = objective.loss(logits)
        gradient: Tensor = torch.autograd.grad(loss.sum(), images)[0]
    logits = logits.detach()
    doubtful = objective.margin(logits).abs() < DOUBT * logits.abs().amax(1)
    return gradient, objective.reached(logits), loss.detach(), doubtful


def ask(model: Watched, images: Images, objective: Objective) -> tuple[Mask, PerImage]:
    """Whether the goal is reached, and the loss, without a gradient."""
    with torch.no_grad():
        logits = model(images)
    return objective.reached(logits), objective.loss(logits)
