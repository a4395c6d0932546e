"""A lower bound of the margin when one pixel takes any colour of a box.

Forward, every value on the pixel's windows is an affine form in the colour (`forward.py`), so the dependence on the
colour variables is exact and only relaxation errors are merged. Where that does not prove a rival class harmless, the
errors of all relaxations are carried to that rival's margin by the transpose of the relaxed network (`backward.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pixelproof.attacks.pixel.incremental import Incremental, IncrementalScene
from pixelproof.attacks.pixel.ops import Conv, Relu
from pixelproof.prove.backward import Backward
from pixelproof.prove.forward import Forward
from pixelproof.prove.linear import Weights
from pixelproof.prove.site import Site
from pixelproof.prove.subject import Margin, precise

SYMBOLS = (48, 96, 96)  # errors of the first rectifiers that are kept apart
PROVEN = 1e-3  # margin (in logits) by which a box must be proven; see certificate.py
HOPE = 0.25  # a backward pass is tried where it needs to cut the error to no less than this share


class PixelBounds:
    """Bounds for one image and label: `at(position)` gives those of one pixel."""

    def __init__(self, engine: Incremental, image: Tensor, label: int) -> None:
        self.engine, plan = engine, engine.plan
        self.scene = IncrementalScene(engine, precise(plan.steps, image[None]))
        self.margin = Margin(plan, label)
        rectifiers = [at for at in plan.local if isinstance(plan.steps[at].op, Relu)]
        self.tables = (
            {at: Weights.of(engine.kernel(at)) for at in plan.local if isinstance(plan.steps[at].op, Conv)},
            dict(zip(rectifiers, SYMBOLS, strict=False)),
        )

    def at(self, position: int) -> PixelBound:
        """The bounds of one pixel (row * width + column)."""
        return PixelBound(Site(self.engine, self.scene, self.margin, self.tables, position), position)


@dataclass(frozen=True, eq=False)
class Bounded:
    """Lower bounds (n) of the margin over boxes, the channel to split each in, and its strain.

    The strain: how far the bound lies below the margin in the middle, relative to that; 1 is the limit of a proof.
    """

    bound: Tensor
    axis: Tensor
    strain: Tensor


class PixelBound:
    """Bounds for one pixel of one image: `lower(low, high)` gives them for a batch of colour boxes."""

    def __init__(self, site: Site, position: int) -> None:
        self.scene, self.margin, self.position = site.scene, site.margin, torch.tensor([position])
        self.forward, self.backward = Forward(site), Backward(site)

    def lower(self, low: Tensor, high: Tensor) -> Bounded:
        """Lower bounds of the margin over colour boxes (n, channels)."""
        with torch.no_grad():
            trace = self.forward.trace(low, high)
            linear = trace.margin - trace.generators.abs().sum(0)
            bound = linear - trace.error
            hopeless = (linear < PROVEN + HOPE * trace.error).any(1)
            for share in (1, len(self.margin.rivals)):
                tried = bound.argsort(dim=1)[:, :share]
                mask = torch.zeros_like(bound, dtype=torch.bool).scatter_(1, tried, True)
                rows, rivals = (mask & (bound <= PROVEN) & ~hopeless[:, None]).nonzero(as_tuple=True)
                if not len(rows):
                    break
                found = self.backward.bound(trace, rows, rivals, PROVEN)
                bound[rows, rivals] = torch.maximum(bound[rows, rivals], found)
                hopeless[rows[bound[rows, rivals] <= PROVEN]] = True
            worst, rival = bound.min(1)
            sides = trace.generators[:, torch.arange(len(low)), rival].abs()
            widest = (high - low).t() * (1 + sides / sides.sum(0).clamp_min(1e-12))
            middle = trace.margin[torch.arange(len(low)), rival]
            strain = torch.where(middle > 0, (middle - worst) / middle, torch.inf)
            return Bounded(worst, widest.argmax(0), strain)

    def exact(self, colours: Tensor) -> Tensor:
        """The margin for single colours (n, channels), up to rounding."""
        logits = self.scene.logits(self.position, colours[None])[0]
        others = logits[:, self.margin.rivals].amax(1)
        return logits[:, self.margin.label] - others
