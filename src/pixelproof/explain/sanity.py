"""Does an explanation depend on the model? The randomisation check (Adebayo et al. 2018, arXiv 1810.03292)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from scipy import stats
from torch import Tensor

from pixelproof.draws import Rng, rng_of
from pixelproof.errors import BadInput
from pixelproof.explain.attribution import Attribution, Explainer
from pixelproof.explain.critical import jaccard
from pixelproof.models import Classifier, duplicate
from pixelproof.types import Images, PerImage

MASS = 1e-3  # a pixel has mass when it carries more than this share of the largest one


@dataclass(frozen=True)
class Randomisation:
    """How like itself |attribution| stays when `layers` are given random weights, one row per step and value per image.

    A map that shows the model does not stay like itself; one that only shows the image's edges does. `correlation`:
    rank correlation over all pixels, which is high for any two maps that are 0 on the same background; `with_mass`: the
    same over pixels where either map is not 0 (above 0.1 % of its largest value); `overlap`: Jaccard index of the first
    k pixels.
    """

    layers: tuple[str, ...]
    correlation: tuple[PerImage, ...]
    with_mass: tuple[PerImage, ...]
    overlap: tuple[PerImage, ...]
    k: int


def randomisation(
    explainer: Explainer, model: Classifier, images: Images, rng: Rng, *, k: int = 50, seed: int = 0
) -> Randomisation:
    """The explanation of each image's predicted class as layer after layer, from the last, gets shuffled weights.

    A copy of the model is shuffled, cumulatively; the class stays the one that the intact model predicts.
    """
    if not model.layers:
        raise BadInput("randomisation", "the network must have layers with weights", "none")
    intact = explainer(model, images, None, rng)
    other = duplicate(model)
    modules = dict(other.net.named_modules())
    generator = rng_of(seed)
    layers = tuple(reversed(model.layers))
    before, rows = size(intact), []
    k = min(k, before.shape[1])
    for layer in layers:
        for parameter in modules[layer].parameters(recurse=False):
            order = torch.randperm(parameter.numel(), generator=generator).to(parameter.device)
            parameter.data.copy_(parameter.data.flatten()[order].view(parameter.shape))
        after = size(explainer(other, images, intact.classes, rng))
        mass = (before > MASS * before.amax(1, keepdim=True)) | (after > MASS * after.amax(1, keepdim=True))
        everywhere = torch.ones_like(mass)
        shared = jaccard(first(before, k), first(after, k))
        rows.append((rank_correlation(before, after, everywhere), rank_correlation(before, after, mass), shared))
    plain, massive, overlap = zip(*rows, strict=True)
    return Randomisation(layers, plain, massive, overlap, k)


def size(found: Attribution) -> Float[Tensor, "n p"]:
    """|attribution| per pixel, channels summed, one row per image."""
    return found.values.abs().sum(1).flatten(1).cpu()


def first(sizes: Float[Tensor, "n p"], k: int) -> Int[Tensor, "n k"]:
    """The k largest positions of each row; ties in reading order."""
    return sizes.argsort(dim=1, descending=True, stable=True)[:, :k]


def rank_correlation(ours: Tensor, theirs: Tensor, where: Bool[Tensor, "n p"]) -> PerImage:
    """Spearman's correlation of each row's values at `where`; 0 where one of them is constant or hardly any is left."""
    found = torch.zeros(len(ours))
    for row, mask in enumerate(where):
        pair = torch.stack([ours[row, mask], theirs[row, mask]])
        if pair.shape[1] < 3 or bool((pair.amax(1) == pair.amin(1)).any()):
            continue
        ranks = torch.from_numpy(stats.rankdata(pair.numpy(), axis=1))
        found[row] = float(torch.corrcoef(ranks)[0, 1])
    return found
