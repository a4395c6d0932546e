"""Does the margin do what its gradient says, on the way to another class? Flag 18."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pixelproof import lp
from pixelproof.measure.redflags.subject import AuditSubject
from pixelproof.models import frozen
from pixelproof.results.audit import Finding
from pixelproof.types import Images, Mask, PerImage

SAMPLES = 32  # gradients along each line
HALVINGS = 30  # of the line, towards where the decision falls
NEARLY = 0.99  # of the way to where the decision falls
ASTRAY = 0.5  # of the fall that the gradients leave unaccounted for, or of the margin that is left nearly there
IMAGES = 0.2  # share of the images at which the margin may go astray
LOOKED_AT = 50


@dataclass(frozen=True, eq=False)
class Lines:
    """Straight lines from images to the nearest image of another class: what the margin and its gradient do there.

    `fall` is the margin at the start minus the margin at the end, `predicted` the integral of minus its gradient over
    the line, which the fundamental theorem of calculus makes equal (completeness: Sundararajan et al. 2017,
    arXiv 1703.01365). `left` is the share of the first margin that is left after 99 % of the way to the point where
    the decision falls.
    """

    fall: PerImage
    predicted: PerImage
    left: PerImage

    @property
    def unaccounted(self) -> PerImage:
        """The part of the fall that the gradients do not account for, as a share of the larger of the two."""
        largest = torch.maximum(self.fall.abs(), self.predicted.abs()).clamp_min(lp.TINY)
        return (self.fall - self.predicted).abs() / largest

    @property
    def astray(self) -> Mask:
        """Where the margin does not follow its gradient, or stays where it is until the decision falls."""
        return (self.unaccounted > ASTRAY) | (self.left > ASTRAY)


def not_followed(subject: AuditSubject) -> Finding:
    """18: a margin that moves otherwise than its gradient says: hard decisions, slopes from elsewhere, wrong gradients.

    Where a network answers by its decision alone, its margin jumps at the boundary, and no gradient on the way
    foretells it: an attack that follows gradients then goes anywhere, and its failure says nothing.
    """
    if subject.random:
        return Finding.not_run("every pass of a random model differs")
    ends = other_class(subject)
    if ends is None:
        return Finding.not_run("all correctly classified images are of one class")
    found = lines(subject, ends)
    share = float(found.astray.double().mean())
    data = subject.field.data[:LOOKED_AT]
    detail = (
        f"on the way to the nearest image of another class the gradients leave "
        f"{100 * float(found.unaccounted.median()):.1f} % of the margin's fall unaccounted for, and "
        f"{100 * float(found.left.median()):.1f} % of the margin is left just before the decision falls "
        f"(medians of {len(data)} images; astray at {int(found.astray.sum())})"
    )
    return Finding(share > IMAGES, share, detail, "the margin does not follow its gradient", data.index[found.astray])


def other_class(subject: AuditSubject) -> Images | None:
    """For each image looked at, the nearest one (l2) of another class; None where there is no other class."""
    data = subject.field.data
    here, labels = data.images[:LOOKED_AT].flatten(1), data.labels[:LOOKED_AT]
    apart = torch.cdist(here, data.images.flatten(1))
    apart[labels[:, None] == data.labels[None]] = torch.inf
    if not torch.isfinite(apart).any(1).all():
        return None
    return data.images[apart.argmin(1)]


def lines(subject: AuditSubject, ends: Images) -> Lines:
    """What the margin and its gradient do on the lines from the images looked at to `ends`."""
    model, goal = subject.field.model, subject.field.goal[:LOOKED_AT]
    starts = subject.field.data.images[:LOOKED_AT]
    way, predicted = ends - starts, torch.zeros(len(starts))

    def margin(share: PerImage) -> PerImage:
        return goal.margin(model.predict(starts + lp.per_image(share) * way))

    zeros = torch.zeros(len(starts))
    first, last = margin(zeros), margin(zeros + 1)
    with frozen(model):
        for k in range(SAMPLES):
            gradient = slope(subject, starts + (k + 0.5) / SAMPLES * way)
            predicted -= (gradient * way).flatten(1).sum(1) / SAMPLES
    low, high = zeros, zeros + 1
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        fallen = margin(middle) <= 0
        low, high = torch.where(fallen, low, middle), torch.where(fallen, middle, high)
    left = margin(NEARLY * low) / first.clamp_min(lp.TINY)
    return Lines(first - last, predicted, torch.where(first > 0, left, 0.0))


def slope(subject: AuditSubject, images: Images) -> Tensor:
    """The gradient of the margin at the images looked at; entries that are not finite count as 0."""
    model = subject.field.model
    x, goal = images.to(model.device).requires_grad_(), subject.field.goal[: len(images)].to(model.device)
    with torch.enable_grad():
        margins = goal.margin(model(x)).sum()
        gradient: Tensor = torch.autograd.grad(margins, x)[0]
    return gradient.nan_to_num(0.0, 0.0, 0.0).cpu()
