"""Critical pixels: where an attack moved the explanation, and which pixels suffice to undo or to mount it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from pixelproof.draws import Draws
from pixelproof.errors import BadInput, UnknownName
from pixelproof.explain.attribution import Attribution
from pixelproof.models import Classifier
from pixelproof.types import Images, Labels

Sense = Literal["generation", "detection"]
WHO = "critical-pixels"
RESAMPLES = 1000


@dataclass(frozen=True)
class CriticalPixels:
    """The `k` most critical positions of each image and of all images together.

    `scores` (n, h, w) is the importance behind them; positions are row * width + column, most critical first.
    """

    sense: Sense
    k: int
    scores: Float[Tensor, "n h w"]

    @property
    def per_image(self) -> Int[Tensor, "n k"]:
        """Each image's own positions."""
        return ranked(self.scores)[:, : self.k]

    @property
    def overall(self) -> Int[Tensor, " k"]:
        """The positions with the largest mean score over all images."""
        return ranked(self.scores.mean(0, keepdim=True))[0, : self.k]

    @property
    def masks(self) -> Bool[Tensor, "n h w"]:
        """Each image's own positions as a mask, to be laid over the image."""
        chosen = torch.zeros_like(self.scores.flatten(1), dtype=torch.bool)
        return chosen.scatter_(1, self.per_image, True).view(self.scores.shape)


def critical_pixels(clean: Attribution, attacked: Attribution, *, sense: Sense, k: int) -> CriticalPixels:
    """The critical pixels in one of paper 1's two senses, from the attributions of the same images.

    "generation": where the attacked image's explanation is large, |attacked|. "detection": where the explanation
    changed, |attacked - clean|. Channels are summed. Raises BadInput when k does not fit the image.
    """
    if sense not in get_args(Sense):
        raise UnknownName(WHO, "sense", sense, get_args(Sense))
    if clean.values.shape != attacked.values.shape:
        raise BadInput(WHO, "both attributions must be of the same images", tuple(attacked.values.shape))
    pixels = clean.values[0, 0].numel()
    if not 1 <= k <= pixels:
        raise BadInput(WHO, f"k must lie in 1..{pixels}, the pixels of an image", k)
    moved = attacked.values if sense == "generation" else attacked.values - clean.values
    return CriticalPixels(sense, k, moved.abs().sum(1))


def ranked(scores: Float[Tensor, "n h w"]) -> Int[Tensor, "n p"]:
    """All positions, largest score first; ties in reading order, so that the ranking is the same on every machine."""
    order: Tensor = scores.flatten(1).argsort(dim=1, descending=True, stable=True)
    return order


def rankings(
    clean: tuple[Images, Attribution], attacked: tuple[Images, Attribution], draws: Draws
) -> dict[str, Float[Tensor, "n h w"]]:
    """Scores of the rankings to compare: both senses, one map for all images, and three that need no explanation."""
    (before, explained_before), (after, explained_after) = clean, attacked
    detection = critical_pixels(explained_before, explained_after, sense="detection", k=1).scores
    shape = detection.shape
    return {
        "detection": detection,
        "generation": critical_pixels(explained_before, explained_after, sense="generation", k=1).scores,
        "one map for all": detection.mean(0).expand(shape).clone(),
        "perturbation": (after - before).abs().sum(1),
        "variance": before.var(0, correction=0).sum(0).expand(shape).clone(),
        "random": draws.uniform(*shape[1:]).to(detection.device),
    }


@dataclass(frozen=True)
class PixelCurve:
    """What a ranking's first k pixels do, over `sizes` of k.

    `repaired`: share of fooled images whose label is right again once these pixels are set back to clean. `sufficient`:
    share still fooled when only these pixels are attacked. `area`: mean height of each curve from 0 to the
    largest k, in [0, 1], with its 95 % bootstrap interval over images.
    """

    ranking: str
    n: int
    sizes: tuple[int, ...]
    repaired: Float[Tensor, " s"]
    sufficient: Float[Tensor, " s"]
    area: tuple[float, float]
    interval: tuple[tuple[float, float], tuple[float, float]]


def curves(
    model: Classifier,
    clean: Images,
    attacked: Images,
    labels: Labels,
    *,
    scores: Mapping[str, Float[Tensor, "n h w"]],
    sizes: Sequence[int],
    rng: torch.Generator,
) -> list[PixelCurve]:
    """Repair and insertion curves of every ranking in `scores`, on images that the attack fools.

    Raises BadInput when an image is not fooled, or when a size does not fit the image.
    """
    pixels = clean[0, 0].numel()
    if not sizes or min(sizes) < 0 or max(sizes) > pixels:
        raise BadInput(WHO, f"sizes must lie in 0..{pixels}", tuple(sizes))
    right, wrong = model.predict(clean).argmax(1), model.predict(attacked).argmax(1)
    truth = labels.cpu()
    unfooled = int(((right != truth) | (wrong == truth)).sum())
    if unfooled:
        raise BadInput(WHO, "every image must be right when clean and wrong when attacked", f"{unfooled} that are not")
    return [_curve(model, (clean, attacked, truth), name, table, sorted(sizes), rng) for name, table in scores.items()]


def _curve(
    model: Classifier,
    images: tuple[Images, Images, Labels],
    name: str,
    scores: Float[Tensor, "n h w"],
    sizes: list[int],
    rng: torch.Generator,
) -> PixelCurve:
    clean, attacked, labels = images
    place = ranked(scores).argsort(1).view(len(clean), 1, *clean.shape[2:])
    repaired_by, fooled_by = [], []
    for size in sizes:
        first = place < size
        repaired_by.append(model.predict(torch.where(first, clean, attacked)).argmax(1) == labels)
        fooled_by.append(model.predict(torch.where(first, attacked, clean)).argmax(1) != labels)
    hits = torch.stack([torch.stack(repaired_by, 1), torch.stack(fooled_by, 1)]).float()
    shares = torch.tensor(sizes, dtype=torch.float32) / clean[0, 0].numel()
    width = float(shares[-1] - shares[0]) or 1.0
    areas = torch.trapezoid(hits, shares, dim=2) / width
    drawn = torch.randint(len(clean), (RESAMPLES, len(clean)), generator=rng)
    spread = torch.quantile(areas[:, drawn].mean(2), torch.tensor([0.025, 0.975]), dim=1)
    mean = areas.mean(1).tolist()
    repaired, sufficient = hits.mean(1)
    return PixelCurve(
        name,
        len(clean),
        tuple(sizes),
        repaired,
        sufficient,
        (mean[0], mean[1]),
        ((float(spread[0, 0]), float(spread[1, 0])), (float(spread[0, 1]), float(spread[1, 1]))),
    )


def jaccard(ours: Int[Tensor, "n k"], theirs: Int[Tensor, "n k"]) -> Float[Tensor, " n"]:
    """Shared positions over all positions of two rankings' first k: 1 when they name the same pixels."""
    shared = (ours[:, :, None] == theirs[:, None]).any(2).sum(1).float()
    return shared / (2 * ours.shape[1] - shared)
