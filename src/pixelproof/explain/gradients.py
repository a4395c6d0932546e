"""Attributions from plain gradients: at the image, along the way from black, along ways from random backgrounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from pixelproof.draws import Draws, Rng
from pixelproof.errors import BadInput
from pixelproof.explain.attribution import (
    Attribution,
    check_background,
    check_varied,
    chosen_classes,
    judged,
    logits_of,
)
from pixelproof.models import Classifier, frozen
from pixelproof.types import Heatmaps, Images, Labels

CHUNK = 50


@dataclass(frozen=True)
class InputGradient:
    """The derivative of the logit by each pixel (Simonyan et al. 2014, arXiv 1312.6034).

    It says where a small change acts, not what the logit is made of: it does not add up, and its gap, taken against a
    black image, says by how much.
    """

    name: ClassVar[str] = "input-gradient"

    def __call__(self, model: Classifier, images: Images, classes: Labels | None, rng: Rng) -> Attribution:
        """The gradient map of `classes` (None: the predicted ones); nothing is drawn from `rng`."""
        with frozen(model):
            logits = logits_of(self.name, model, images, CHUNK)
            chosen = chosen_classes(self.name, logits, classes)
            values = slopes(self.name, model, images.to(model.device), chosen)
            black = model(torch.zeros_like(images[:1], device=model.device))
        return judged(values, chosen, logits, black).to(images.device)


@dataclass(frozen=True)
class IntegratedGradients:
    """The mean gradient on the straight way from black to the image, times the image (Sundararajan et al. 2017,
    arXiv 1703.01365).

    The integral is taken with the midpoint rule in `steps` points; the gap is what that leaves out.
    """

    name: ClassVar[str] = "integrated-gradients"

    steps: int = 50

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise BadInput(self.name, "steps must be at least 1", self.steps)

    def __call__(self, model: Classifier, images: Images, classes: Labels | None, rng: Rng) -> Attribution:
        """The attribution of `classes` (None: the predicted ones); nothing is drawn from `rng`."""
        with frozen(model):
            logits = logits_of(self.name, model, images, CHUNK)
            chosen = chosen_classes(self.name, logits, classes)
            inputs = images.to(model.device)
            total = torch.zeros_like(inputs)
            for step in range(self.steps):
                total += slopes(self.name, model, inputs * ((step + 0.5) / self.steps), chosen)
            black = model(torch.zeros_like(inputs[:1]))
        return judged(inputs * total / self.steps, chosen, logits, black).to(images.device)


@dataclass(frozen=True, eq=False)
class ExpectedGradients:
    """Integrated gradients averaged over backgrounds by sampling, also known as GradientSHAP (Erion et al. 2021,
    arXiv 1906.10670).

    Every image draws `samples` pairs of a background and a point on the way to it from its own stream; the gap is the
    sampling error and falls with 1 / sqrt(samples).
    """

    name: ClassVar[str] = "expected-gradients"

    background: Images
    samples: int = 100

    def __post_init__(self) -> None:
        check_varied(self.name, self.background)
        if self.samples < 1:
            raise BadInput(self.name, "samples must be at least 1", self.samples)

    def __call__(self, model: Classifier, images: Images, classes: Labels | None, rng: Rng) -> Attribution:
        """The attribution of `classes` (None: the predicted ones)."""
        check_background(self.name, model, self.background)
        with frozen(model):
            logits = logits_of(self.name, model, images, CHUNK)
            expected = logits_of(self.name, model, self.background, CHUNK)
            chosen = chosen_classes(self.name, logits, classes)
            inputs, background = images.to(model.device), self.background.to(model.device)
            drawn = Draws.of(rng, len(images)).uniform(2, self.samples).to(model.device)
            total = torch.zeros_like(inputs)
            for which, share in drawn.permute(2, 1, 0):
                start = background[(which * len(background)).long()]
                way = inputs - start
                total += way * slopes(self.name, model, start + share.view(-1, 1, 1, 1) * way, chosen)
        return judged(total / self.samples, chosen, logits, expected).to(images.device)


def slopes(who: str, model: Classifier, points: Images, classes: Labels) -> Heatmaps:
    """The gradient of one logit per image at `points`; the caller holds the model frozen.

    Infinite and undefined entries are 0: where a root has its steep end, no step from there is explained by a slope.
    Raises BadInput for a network that gives no gradient.
    """
    parts = []
    for part, wanted in zip(torch.split(points, CHUNK), torch.split(classes, CHUNK), strict=True):
        leaf = part.detach().clone().requires_grad_()
        with torch.enable_grad():
            total = model(leaf).gather(1, wanted[:, None]).sum()
        slope = torch.autograd.grad(total, leaf, allow_unused=True)[0] if total.requires_grad else None
        if slope is None:
            do = "Use occlusion, which asks the network for answers only."
            raise BadInput(who, "the logits must have a gradient in the image", "none", do)
        parts.append(torch.nan_to_num(slope, nan=0.0, posinf=0.0, neginf=0.0))
    return torch.cat(parts)
