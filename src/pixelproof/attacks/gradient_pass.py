"""The gradient pass that every gradient attack is made of: what the model says of each image, and which way is down."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from pixelproof.attacks.watch import Watched
from pixelproof.errors import NoGradient
from pixelproof.types import Goal, Images, Mask, PerImage

DOUBT = 0.02  # the largest error of a bfloat16 margin seen on digits and MNIST was 0.012 of the largest logit


VANISHED = "the cross-entropy's gradient vanished in float32 at some images; the margin was lowered there"
FLAT = "the first gradient is zero at some images: ask there by queries, with square or hop-skip-jump"
FLOAT32_ONLY = "the network cannot be taken in bfloat16; gradients are float32"


class GradientPass(NamedTuple):
    """What one pass says of each image: the loss and its gradient, the margin, and whether the goal is reached.

    `doubtful` is an answer whose margin is less than `DOUBT` of the largest logit.
    """

    gradient: Images
    loss: PerImage
    margin: PerImage
    hit: Mask
    doubtful: Mask


def differentiate(loss: PerImage, images: Images, who: str, *, again: bool = False) -> Images:
    """The gradient of each image's loss, with zeros where it is infinite or NaN: such an entry points nowhere.

    Roots and norms have infinite slopes at black pixels; one such entry must not cost an attack the whole image.
    `again` keeps the graph for another call. Raises NoGradient where the loss does not depend on the images.
    """
    if not loss.requires_grad:
        raise NoGradient(who)
    try:
        (gradient,) = torch.autograd.grad(loss.sum(), images, retain_graph=again, allow_unused=True)
    except RuntimeError as reason:
        if "derivative" not in str(reason):
            raise
        raise NoGradient(who, "an operation that has none") from reason
    if gradient is None:
        raise NoGradient(who)
    finite: Tensor = gradient.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)
    return finite


def steer(model: Watched, images: Images, goal: Goal, *, half: bool = False) -> GradientPass:
    """One gradient pass, in the portions that suit the device; all that it says is in its own precision.

    With `half` that is bfloat16: coarse, but good enough to steer by. A network that cannot be taken in bfloat16 is
    taken in float32 from its first such failure on.
    """
    if half and not model.tally.float32_only:
        try:
            return _in_parts(model, images, goal, half=True)
        except RuntimeError:  # what float32 cannot do either is raised below
            model.tally.float32_only = True
            model.tally.notes.add(FLOAT32_ONLY)
    return _in_parts(model, images, goal, half=False)


def look(model: Watched, images: Images, goal: Goal, *, half: bool = False) -> GradientPass:
    """As `steer`, with `hit` judged in float32."""
    seen = steer(model, images, goal, half=half)
    if half:
        confirm(model, images, goal, seen.hit, seen.hit)
    return seen


def confirm(model: Watched, images: Images, goal: Goal, hit: Mask, asked: Mask) -> None:
    """Judge the images at `asked` by a float32 pass, and write what it says into `hit`."""
    if asked.any():
        with torch.no_grad():
            hit[asked.clone()] = goal[asked].reached(model[asked](images[asked]))


def ask(model: Watched, images: Images, goal: Goal) -> tuple[Mask, PerImage]:
    """Whether the goal is reached, and the loss, without a gradient."""
    with torch.no_grad():
        logits = model(images)
    return goal.reached(logits), goal.loss(logits)


def _in_parts(model: Watched, images: Images, goal: Goal, *, half: bool) -> GradientPass:
    parts = model.parts()
    if len(parts) == 1:
        return _pass(model, images, goal, half)
    passes = [_pass(model[part], images[part], goal[part], half) for part in parts]
    return GradientPass(*(torch.cat(each) for each in zip(*passes, strict=True)))


def _pass(model: Watched, images: Images, goal: Goal, half: bool) -> GradientPass:
    images = images.detach().requires_grad_()
    with torch.enable_grad(), torch.autocast(images.device.type, dtype=torch.bfloat16, enabled=half):
        logits = model(images)
        loss = goal.loss(logits)
        gradient = differentiate(loss, images, model.card.name)
    if VANISHED not in model.tally.notes and goal.vanished(loss.detach()).any():
        model.tally.notes.add(VANISHED)
    fresh = model.tally.backwards[model.rows] <= 1
    if FLAT not in model.tally.notes and fresh.any() and (fresh & (gradient == 0).flatten(1).all(1)).any():
        model.tally.notes.add(FLAT)
    logits = logits.detach()
    margin = goal.margin(logits)
    doubtful = margin.abs() < DOUBT * logits.abs().amax(1)
    return GradientPass(gradient, loss.detach(), margin, goal.reached(logits), doubtful)
