"""What an attack does inside the network: shift per unit, separability and drift, layer by layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from pixelproof.errors import BadInput
from pixelproof.models import Classifier, evaluating
from pixelproof.types import Images, Labels, Mask, PerImage

WHO = "penultimate"
BATCH = 125
LEAST = 10  # images that a split by image needs on both sides
TINY = 1e-12


@dataclass(frozen=True)
class Shift:
    """How one layer's units change between clean and attacked twins.

    `mean` (d) is the mean change of each unit, `d_z` the same in standard deviations over images, `by_class` (k, d) the
    mean change for each clean class (zero rows where a class has no image); `units` lists all units, the one whose
    |d_z| is largest first.
    """

    layer: str
    n: int
    mean: Float[Tensor, " d"]
    d_z: Float[Tensor, " d"]
    by_class: Float[Tensor, "k d"]
    units: Int[Tensor, " d"]


@dataclass(frozen=True)
class LayerDrift:
    """How far one layer moves per image: |attacked - clean| / |clean|, and 1 - cosine of the two."""

    layer: str
    norm: PerImage
    cosine: PerImage


def penultimate_layer(model: Classifier) -> str:
    """The last but one convolutional or dense layer; its output feeds the logits."""
    if len(model.layers) < 2:
        raise BadInput(WHO, "the network must have at least two layers", len(model.layers))
    return model.layers[-2]


def shift(model: Classifier, clean: Images, attacked: Images, labels: Labels, *, layer: str) -> Shift:
    """The change of `layer`'s units from `clean` to `attacked`, twins in the same order."""
    _check_twins(clean, attacked)
    change = _tapped(model, attacked, (layer,))[layer] - _tapped(model, clean, (layer,))[layer]
    mean, spread = change.mean(0), change.std(0)
    d_z = torch.where(spread > TINY, mean / spread.clamp_min(TINY), torch.zeros_like(mean))
    classes = len(model.card.classes)
    member = torch.nn.functional.one_hot(labels.cpu(), classes).float()
    by_class = member.T @ change / member.sum(0).clamp_min(1)[:, None]
    return Shift(layer, len(clean), mean, d_z, by_class, d_z.abs().argsort(descending=True, stable=True))


def drift(model: Classifier, clean: Images, attacked: Images, *, layers: Sequence[str]) -> list[LayerDrift]:
    """How far every layer in `layers` moves, per image."""
    _check_twins(clean, attacked)
    before, after = _tapped(model, clean, layers), _tapped(model, attacked, layers)
    found = []
    for layer in layers:
        x, y = before[layer], after[layer]
        size = torch.linalg.vector_norm(x, dim=1)
        far = torch.linalg.vector_norm(y - x, dim=1) / size.clamp_min(TINY)
        cosine = 1 - torch.nn.functional.cosine_similarity(x, y, dim=1, eps=TINY)
        found.append(LayerDrift(layer, far, cosine))
    return found


def separability(
    model: Classifier, clean: Images, attacked: Images, *, layer: str, held_out: Mask
) -> tuple[float, int]:
    """AUC with which a line tells attacked from clean activations, and the number of images that it was measured on.

    Fitted (logistic regression on standardised units) on the images outside `held_out` and measured on those inside; a
    clean image and its attacked twin are always on the same side.
    """
    _check_twins(clean, attacked)
    held_out = held_out.cpu()
    inside = int(held_out.sum())
    if min(inside, len(clean) - inside) < LEAST:
        raise BadInput(WHO, f"at least {LEAST} images are needed on each side of the split", inside)
    before, after = _tapped(model, clean, (layer,))[layer], _tapped(model, attacked, (layer,))[layer]

    def rows(chosen: Mask) -> tuple[Tensor, Tensor]:
        n = int(chosen.sum())
        return torch.cat([before[chosen], after[chosen]]), torch.arange(2).repeat_interleave(n)

    line = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    features, wanted = rows(~held_out)
    line.fit(features.numpy(), wanted.numpy())
    features, wanted = rows(held_out)
    return float(roc_auc_score(wanted.numpy(), line.decision_function(features.numpy()))), inside


def _check_twins(clean: Images, attacked: Images) -> None:
    if clean.shape != attacked.shape:
        raise BadInput(WHO, f"clean and attacked images must be twins {tuple(clean.shape)}", tuple(attacked.shape))


def _tapped(model: Classifier, images: Images, layers: Sequence[str]) -> dict[str, Tensor]:
    """What the layers put out, on the CPU."""
    with torch.no_grad(), evaluating(model):
        parts = [model.taps(part.to(model.device), layers) for part in torch.split(images, BATCH)]
    return {layer: torch.cat([part[layer].float().cpu() for part in parts]) for layer in layers}
