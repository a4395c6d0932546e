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


def project(delta: Images, eps: PerImage, ball: Ball) -> Images:
    """The nearest perturbation inside the ball of radius `eps`; points inside are returned as they are."""
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
    """The unit step that raises a linear function most: the sign for linf, the normalised gradient for l2."""
    if ball == "linf":
        return gradient.sign()
    return gradient / per_image(norm(gradient, "l2").clamp_min(TINY))


def random_start(draws: Draws, shape: tuple[int, ...], eps: PerImage, ball: Ball) -> Images:
    """A perturbation drawn uniformly from the ball of radius `eps`, from each image's own stream."""
    if ball == "linf":
        return (2 * draws.uniform(*shape).to(eps.device) - 1) * per_image(eps)
    direction = ascent(draws.normal(*shape).to(eps.device), "l2")
    dimension = direction[0].numel()
    return direction * per_image(eps * draws.uniform().to(eps.device) ** (1 / dimension))
