"""What attributions say about an image: how they are spread, and whether its noise is aimed at the prediction.

An attack adds a small pattern aimed at the logits; noise of the same size is aimed at nothing. The pattern cannot be
seen, but it can be estimated (the image minus a smoothed copy of itself) and explained: how much of the margin between
the predicted class and its rival rests on it, and does all of it pull the same way?
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from pixelproof.detect.detectors.confidence import top_two
from pixelproof.explain import DeepShap, dispersion, straight_through
from pixelproof.models import Classifier
from pixelproof.types import Heatmaps, Images, Labels, Logits

TINY = 1e-9
STEEP = 10.0  # slope of the sigmoid that stands for rounding where a gradient is asked for


@dataclass(frozen=True, eq=False)
class PixelSignature:
    """DeepSHAP of the predicted class, one number per value: what paper 1's detector looks at (d = c h w)."""

    background: Images = field(repr=False)

    def __call__(self, model: Classifier, images: Images) -> Float[Tensor, "n d"]:
        """One row per image, with a useful gradient when one is asked for."""
        spot = SlopePoint.at(model, images)
        return attributed(self.background, model, spot, spot.logits.argmax(1)).flatten(1)


@dataclass(frozen=True, eq=False)
class Evidence:
    """Sixty-six numbers per image: dispersion statistics of three DeepSHAP maps, and the attribution of the residual.

    - Dispersion (ML-LOO's idea, Yang et al. 2020, arXiv 1906.03499) of the maps of the predicted class, of its rival
      (the second highest logit) and of their difference: 8 statistics each.
    - For the residual under a 3 x 3 median, a 3 x 3 binomial filter and rounding to one bit, and for two rivals (the
      image's, and the strongest other class of the smoothed image): integrated gradients of the margin along the
      residual; their sum over their l1 norm (1: everything pulls one way), sum, l1 norm, cosine of residual and
      gradient, share of positive values. With them what smoothing does to the logits (after feature squeezing, Xu et
      al. 2018, arXiv 1704.01155).
    """

    background: Images = field(repr=False)

    def __call__(self, model: Classifier, images: Images) -> Float[Tensor, "n 66"]:
        """One row per image, with a useful gradient when one is asked for."""
        spot = SlopePoint.at(model, images)
        predicted, rival = top_two(spot.logits)
        ours = attributed(self.background, model, spot, predicted).flatten(1)
        theirs = attributed(self.background, model, spot, rival).flatten(1)
        spread = [dispersion(rows) for rows in (ours, theirs, ours - theirs)]
        residuals = [residual_evidence(model, spot, smooth) for smooth in SMOOTHERS]
        return torch.cat([*spread, *residuals], 1)


@dataclass(frozen=True, eq=False)
class SlopePoint:
    """Images with their logits; gives the slope of any logit or margin there without another forward pass.

    `followed`: the images are in an attacker's graph, and so are logits and slopes.
    """

    points: Images
    graph: Logits
    followed: bool

    @classmethod
    def at(cls, model: Classifier, points: Images) -> SlopePoint:
        """The model's logits at `points`."""
        followed = torch.is_grad_enabled() and points.requires_grad
        with torch.enable_grad():
            leaf = points if followed else points.detach().requires_grad_()
            return cls(leaf, model(leaf), followed)

    @property
    def images(self) -> Images:
        """The points as values, in the attacker's graph where there is one."""
        return self.points if self.followed else self.points.detach()

    @property
    def logits(self) -> Logits:
        """The logits as values, in the attacker's graph where there is one."""
        return self.graph if self.followed else self.graph.detach()

    def slope(self, ours: Labels, theirs: Labels | None = None) -> Images:
        """The gradient of logit `ours`, less that of logit `theirs`."""
        with torch.enable_grad():
            height = self.graph.gather(1, ours[:, None])
            if theirs is not None:
                height = height - self.graph.gather(1, theirs[:, None])
            slope: Tensor = torch.autograd.grad(
                height.sum(), self.points, create_graph=self.followed, retain_graph=True
            )[0]
        return slope


def attributed(background: Float[Tensor, "b c h w"], model: Classifier, spot: SlopePoint, classes: Labels) -> Heatmaps:
    """DeepSHAP values; where a gradient is asked for, that of gradient x (image - mean background) stands in for it."""
    still = spot.images.detach()
    exact = DeepShap(background)(model, still, classes, torch.Generator()).values
    if not spot.followed:
        return exact
    guide = spot.slope(classes) * (spot.images - background.mean(0).to(still.device))
    return exact + (guide - guide.detach())


def residual_evidence(model: Classifier, spot: SlopePoint, smooth: Callable[[Images], Images]) -> Float[Tensor, "n 14"]:
    """How the margin rests on what `smooth` takes away from the images.

    The integral along the residual is the mean of the slopes at its two ends.
    """
    rows = torch.arange(len(spot.points), device=spot.points.device)
    smoothed = SlopePoint.at(model, smooth(spot.images))
    residual = spot.images - smoothed.images
    logits, after = spot.logits, smoothed.logits
    predicted, rival = top_two(logits)
    other = after.scatter(1, predicted[:, None], -torch.inf).argmax(1)
    columns = []
    for against in (rival, other):
        slope = (spot.slope(predicted, against) + smoothed.slope(predicted, against)) / 2
        shares = (slope * residual).flatten(1)
        size = shares.abs().sum(1)
        cosine = F.cosine_similarity(slope.flatten(1), residual.flatten(1), eps=TINY)
        positive = above(shares).sum(1) / (shares != 0).float().sum(1).clamp_min(1)
        columns += [shares.sum(1) / (size + TINY), shares.sum(1), size, cosine, positive]
    columns += [
        logits[rows, predicted] - after[rows, predicted],
        after[rows, predicted] - after[rows, other],
        logits[rows, predicted] - logits[rows, rival],
        F.cosine_similarity(logits - logits.mean(1, keepdim=True), after - after.mean(1, keepdim=True), eps=TINY),
    ]
    return torch.stack(columns, 1)


def median(images: Images) -> Images:
    """Each value replaced by the median of its 3 x 3 neighbourhood; borders are repeated."""
    padded = F.pad(images, (1, 1, 1, 1), mode="replicate")
    return padded.unfold(2, 3, 1).unfold(3, 3, 1).flatten(4).median(4).values


def binomial(images: Images) -> Images:
    """The weighted mean of the 3 x 3 neighbourhood with weights 1 2 1 in both directions; borders are repeated."""
    weights = torch.tensor([1.0, 2.0, 1.0], device=images.device) / 4
    channels = images.shape[1]
    kernel = torch.outer(weights, weights).expand(channels, 1, 3, 3)
    return F.conv2d(F.pad(images, (1, 1, 1, 1), mode="replicate"), kernel, groups=channels)


def one_bit(images: Images) -> Images:
    """Each value rounded to 0 or 1; an attacker's gradient goes through a sigmoid (BPDA, arXiv 1802.00420)."""
    return straight_through((images > 0.5).to(images.dtype), lambda: torch.sigmoid(STEEP * (images - 0.5)))


def above(shares: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
    """1 where a share is positive; an attacker's gradient goes through a sigmoid as wide as the mean share."""

    def smooth() -> Tensor:
        width = shares.detach().abs().mean(1, keepdim=True)
        return torch.sigmoid(shares / (width + TINY))

    return straight_through((shares > 0).to(shares.dtype), smooth)


SMOOTHERS: tuple[Callable[[Images], Images], ...] = (median, binomial, one_bit)
