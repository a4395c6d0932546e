"""Does an explanation depend on the model? The randomisation check (Adebayo et al. 2018, arXiv 1810.03292)."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from scipy import stats
from torch import Tensor

from pixelproof.draws import Rng
from pixelproof.errors import BadInput
from pixelproof.explain.attribution import Explainer
from pixelproof.models import Classifier
from pixelproof.types import Images, PerImage


@dataclass(frozen=True)
class Randomisation:
    """Rank correlation of |attribution| before and after `layers` were given random weights, one row per step.

    A map that shows the model loses its correlation; one that only shows the image's edges keeps it.
    """

    layers: tuple[str, ...]
    correlation: tuple[PerImage, ...]


def randomisation(explainer: Explainer, model: Classifier, images: Images, rng: Rng, *, seed: int = 0) -> Randomisation:
    """The explanation of each image's predicted class as layer after layer, from the last, gets shuffled weights.

    A copy of the model is shuffled, cumulatively; the class stays the one that the intact model predicts.
    """
    if not model.layers:
        raise BadInput("randomisation", "the network must have layers with weights", "none")
    intact = explainer(model, images, None, rng)
    other = copy.deepcopy(model)
    modules = dict(other.net.named_modules())
    generator = torch.Generator().manual_seed(seed)
    layers = tuple(reversed(model.layers))
    rows = []
    for layer in layers:
        for parameter in modules[layer].parameters(recurse=False):
            order = torch.randperm(parameter.numel(), generator=generator).to(parameter.device)
            parameter.data.copy_(parameter.data.flatten()[order].view(parameter.shape))
        rows.append(_rank_correlation(intact.values, explainer(other, images, intact.classes, rng).values))
    return Randomisation(layers, tuple(rows))


def _rank_correlation(ours: Tensor, theirs: Tensor) -> Tensor:
    """Spearman's correlation of two maps per image; 0 where one of them is constant."""
    first, second = (torch.from_numpy(stats.rankdata(maps.abs().flatten(1).cpu(), axis=1)) for maps in (ours, theirs))
    first, second = first - first.mean(1, keepdim=True), second - second.mean(1, keepdim=True)
    size = torch.linalg.vector_norm(first, dim=1) * torch.linalg.vector_norm(second, dim=1)
    correlation: Tensor = (first * second).sum(1) / size.clamp_min(1e-12)
    return correlation.float()
