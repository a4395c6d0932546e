"""Signature: an image's attribution as a row of numbers, for detectors and plots."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from pixelproof.draws import Rng
from pixelproof.errors import UnknownName
from pixelproof.explain.attribution import Explainer
from pixelproof.explain.shapley import DeepShap
from pixelproof.models import Classifier
from pixelproof.types import Images

Of = Literal["predicted", "all"]
Form = Literal["pixels", "dispersion"]

QUANTILES = (0.05, 0.25, 0.75, 0.95)
STATISTICS = (*(f"q{round(100 * q)}" for q in QUANTILES), "std", "max", "l1", "active")
TINY = 1e-12
ACTIVE = 1e-3  # a pixel is active when it carries more than this share of the largest one


@dataclass(frozen=True)
class Signature:
    """Rows of attributions: of the predicted class (d = c h w) or of all classes one after the other (d = k c h w).

    The form "dispersion" keeps the eight `STATISTICS` of each map instead of its pixels (ML-LOO's idea, Yang et al.
    2020, arXiv 1906.03499): 5, 25, 75 and 95 % quantile, standard deviation, largest value, l1 norm, active share.
    """

    name: ClassVar[str] = "signature"

    explainer: Explainer
    of: Of = "predicted"
    form: Form = "pixels"

    def __post_init__(self) -> None:
        for kind, value, known in (("of", self.of, get_args(Of)), ("form", self.form, get_args(Form))):
            if value not in known:
                raise UnknownName(self.name, kind, value, known)

    def __call__(self, model: Classifier, images: Images, rng: Rng) -> Float[Tensor, "n d"]:
        """One row per image; raises what the explainer raises."""
        if self.of == "predicted":
            maps = self.explainer(model, images, None, rng).values[:, None]
        elif isinstance(self.explainer, DeepShap):
            maps = self.explainer.all_classes(model, images).values
        else:
            classes = range(len(model.card.classes))
            every = [torch.full((len(images),), k, device=images.device) for k in classes]
            maps = torch.stack([self.explainer(model, images, k, rng).values for k in every], 1)
        rows = maps.flatten(2)
        return (dispersion(rows) if self.form == "dispersion" else rows).flatten(1)


def dispersion(rows: Float[Tensor, "*lead d"]) -> Float[Tensor, "*lead 8"]:
    """How the values of each row are spread: `STATISTICS` in their order."""
    size = rows.abs()
    top = size.amax(-1, keepdim=True)
    quantiles = torch.quantile(rows, torch.tensor(QUANTILES, dtype=rows.dtype, device=rows.device), dim=-1)
    over = (size > ACTIVE * top).to(rows.dtype)
    active = straight_through(over, lambda: size / (size + ACTIVE * top + TINY)).mean(-1)
    return torch.stack([*quantiles, rows.std(-1), rows.amax(-1), size.sum(-1), active], -1)


def straight_through(hard: Tensor, smooth: Callable[[], Tensor]) -> Tensor:
    """The value of `hard`, a step without a slope, with the gradient of `smooth` where one is asked for.

    Backward pass differentiable approximation (Athalye et al. 2018, arXiv 1802.00420): without it an attack that
    follows gradients would take a step function for a constant.
    """
    if not torch.is_grad_enabled():
        return hard
    guide = smooth()
    return hard + (guide - guide.detach()) if guide.requires_grad else hard  # the bracket is exactly 0
