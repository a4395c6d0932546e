"""Norms, projections, steps and random starts for perturbations: pure functions on (n, c, h, w) batches.

Budgets are given per image, so one batch can hold images attacked at different eps.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch
from jaxtyping import Shaped
from torch import Tensor

from pixelproof.draws import Draws
from pixelproof.types import Images, Norm, PerImage

Ball: TypeAlias = Literal["linf", "l2"]
Convex: TypeAlias = Literal["linf", "l2", "l1"]

TINY = 1e-12


def per_image(values: Shaped[Tensor, " n"]) -> Tensor:
    """Values (n) shaped (n, 1, 1, 1), to be broadcast over a batch of images."""
    return values.view(-1, 1, 1, 1)


def norm(delta: Images, kind: Norm) -> PerImage:
    """The size of each perturbation; l0 counts pixels (positions), whatever the number of channels changed there."""
    if kind == "l0":
        return (delta != 0).any(1).flatten(1).sum(1).to(delta.dtype)
    order = {"l1": 1.0, "l2": 2.0, "linf": float("inf")}[kind]
    size: Tensor = torch.linalg.vector_norm(delta.flatten(1), ord=order, dim=1)
    return size


def distances(clean: Images, images: Images) -> dict[str, PerImage]:
    """Distance of each image from its clean twin in l0, l1, l2 and linf."""
    delta = images - clean
    kinds: tuple[Norm, ...] = ("l0", "l1", "l2", "linf")
    return {kind: norm(delta, kind) for kind in kinds}


def project(delta: Images, eps: PerImage, ball: Norm) -> Images:
    """The nearest perturbation inside the ball of radius `eps`; points inside are returned as they are."""
    if ball == "l0":
        return keep_strongest(delta, eps)
    if ball == "l1":
        return project_l1(delta, eps)
    if ball == "linf":
        radius = per_image(eps)
        return torch.minimum(torch.maximum(delta, -radius), radius)
    size = norm(delta, "l2")
    return delta * per_image(torch.where(size > eps, eps / size.clamp_min(TINY), torch.ones_like(size)))


def clip(images: Images, clean: Images, eps: PerImage, ball: Ball) -> Images:
    """The images brought back into [0, 1] and into the ball of radius `eps` around their clean twins."""
    if ball == "linf":
        radius = per_image(eps)
        return torch.minimum(torch.maximum(images, clean - radius), clean + radius).clamp_(0, 1)
    return (clean + project(images - clean, eps, ball)).clamp_(0, 1)


def ascent(gradient: Images, ball: Ball) -> Images:
    """The unit step that raises a linear function most: the sign for linf, the normalised gradient for l2.

    It does not depend on the gradient's scale: one of 1e-30 points as surely as one of 1.
    """
    if ball == "linf":
        return gradient.sign()
    return unit(gradient, "l2")


def unit(gradient: Images, kind: Norm) -> Images:
    """Each image's gradient divided by its size in a norm, zero where it is zero."""
    gradient = balanced(gradient)
    return gradient / per_image(norm(gradient, kind).clamp_min(TINY))


def balanced(gradient: Images) -> Images:
    """Each image's gradient times the power of two that brings its largest value into [1/2, 1): no digit changes.

    Squares and sums of what is left neither overflow nor vanish.
    """
    exponent = torch.frexp(norm(gradient, "linf")).exponent
    half = exponent // 2  # in two factors, for one alone may be out of float32's range
    return gradient * per_image(torch.exp2(-half.float())) * per_image(torch.exp2((half - exponent).float()))


def random_start(draws: Draws, shape: tuple[int, ...], eps: PerImage, ball: Ball) -> Images:
    """A perturbation drawn uniformly from the ball of radius `eps`, from each image's own stream."""
    if ball == "linf":
        return (2 * draws.uniform(*shape).to(eps.device) - 1) * per_image(eps)
    direction = ascent(draws.normal(*shape).to(eps.device), "l2")
    dimension = direction[0].numel()
    return direction * per_image(eps * draws.uniform().to(eps.device) ** (1 / dimension))


def project_l1(delta: Images, eps: PerImage, images: Images | None = None) -> Images:
    """The nearest perturbation of l1 size at most `eps` (Duchi et al. 2008); with `images`, inside the box as well.

    Both constraints at once give sign(d) clip(|d| - t, 0, room) for one t per image; cutting at the ball and then at
    the box would leave part of the budget unused (Croce & Hein 2021, arXiv 2103.01208).
    """
    size = delta.flatten(1).double().abs()
    room = torch.full_like(size, torch.inf)
    if images is not None:
        flat = images.flatten(1).double()
        room = torch.where(delta.flatten(1) > 0, 1 - flat, flat)
    within = torch.minimum(size, room)
    # f(t) = sum_i max(|d_i| - t, 0) - max(|d_i| - room_i - t, 0) falls from sum(within) to 0: walk down its corners.
    corners, order = torch.cat([size, size - within], 1).sort(dim=1, descending=True)
    slopes = torch.cat([torch.ones_like(size), -torch.ones_like(size)], 1).gather(1, order).cumsum(1)
    climbed = torch.cumsum(slopes[:, :-1] * (corners[:, :-1] - corners[:, 1:]), 1)
    climbed = torch.cat([torch.zeros_like(climbed[:, :1]), climbed], 1)
    at = torch.searchsorted(climbed, eps.double()[:, None]).clamp(1, climbed.shape[1] - 1) - 1
    rest = (eps.double()[:, None] - climbed.gather(1, at)) / slopes.gather(1, at).clamp_min(1)
    level = torch.where(within.sum(1, keepdim=True) > eps[:, None], corners.gather(1, at) - rest, 0)
    cut = torch.minimum((size - level).clamp_min(0), room)
    result = (cut.view_as(delta) * delta.sign()).to(delta.dtype)
    total = norm(result, "l1")
    return result * per_image(torch.where(total > eps, eps / total.clamp_min(TINY), torch.ones_like(total)))


def confine(images: Images, moved: Images, eps: PerImage, ball: Convex) -> Images:
    """`moved` brought back into the ball of radius `eps` around `images` and into [0, 1]; exact for linf and l1."""
    if ball == "l1":
        return (images + project_l1(moved - images, eps, images)).clamp(0, 1)
    return clip(moved, images, eps, ball)


def keep_strongest(delta: Images, pixels: Tensor) -> Images:
    """The perturbation at each image's `pixels` positions of largest size, zero elsewhere: the l0 projection.

    A part of a pixel is none: a budget of 2.5 is one of 2.
    """
    size = delta.abs().amax(1).flatten(1)
    ranks = size.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    kept = (ranks < pixels.floor()[:, None]).view(len(delta), 1, *delta.shape[2:])
    return delta * kept


def onto_plane(images: Images, normal: Images, gap: PerImage, ball: Convex) -> Images:
    """The smallest perturbation d with normal . d = gap and images + d in [0, 1]; as near as the box allows, else.

    Along the sign of gap * normal every value can move by its room to the wall. For linf all move alike, for l2 in
    proportion to |normal|, for l1 the steepest values go first, each until its wall (Croce & Hein 2020,
    arXiv 1907.02044).
    """
    size = normal.flatten(1).double().abs().amax(1).clamp_min(torch.finfo(torch.float32).tiny)
    scale = torch.exp2(1.0 - torch.frexp(size).exponent.double())  # products of small slopes must not look like none
    normal, gap = normal.double() * per_image(scale), gap.double() * scale
    aim = normal.flatten(1) * gap.sign()[:, None]
    flat = images.flatten(1).double()
    room = torch.where(aim > 0, 1 - flat, flat)
    steep, need = aim.abs(), gap.abs()[:, None]
    if ball == "l1":
        order = steep.argsort(dim=1, descending=True)
        worth = (steep * room).gather(1, order)
        before = worth.cumsum(1) - worth
        share = ((need - before) / worth.clamp_min(TINY)).clamp(0, 1)
        move = torch.zeros_like(room).scatter(1, order, share) * room * (steep > 0)
    else:
        rate = torch.ones_like(steep) if ball == "linf" else steep
        wall = torch.where(steep > 0, room / rate.clamp_min(TINY), torch.inf)
        level = _level(steep * rate, wall, need)
        move = torch.minimum(level * rate, room) * (steep > 0)
    return (move * aim.sign()).view_as(images).to(images.dtype)


def _level(slopes: Tensor, walls: Tensor, need: Tensor) -> Tensor:
    """The smallest t with sum_i slopes_i min(t, walls_i) = need, (n, 1); the last wall where that is out of reach."""
    walls, order = walls.sort(dim=1)
    slopes = slopes.gather(1, order)
    finite = torch.where(walls.isfinite(), walls, 0)
    stopped = torch.cumsum(slopes * finite, 1)
    moving = slopes.flip(1).cumsum(1).flip(1) - slopes  # the slope that goes on behind each wall
    reached = stopped + torch.where(walls.isfinite(), moving * finite, torch.inf)
    at = torch.searchsorted(reached, need).clamp_max(walls.shape[1] - 1)
    behind = torch.where(at > 0, stopped.gather(1, (at - 1).clamp_min(0)), 0)
    slope = slopes.gather(1, at) + moving.gather(1, at)
    level = (need - behind) / slope.clamp_min(TINY)
    last = torch.where(walls.isfinite(), walls, 0).amax(1, keepdim=True)
    return torch.minimum(level, last)
