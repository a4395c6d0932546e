"""Linear classifiers whose smallest perturbations are known in closed form."""

import torch
from torch import nn

from pixelproof import models
from pixelproof.data import Dataset
from pixelproof.models import Classifier

DUAL = {"linf": 1, "l2": 2, "l1": float("inf")}


def linear(seed: int = 0, *, classes: int = 5, side: int = 4, n: int = 12) -> tuple[Classifier, Dataset]:
    """A linear net and images around mid-grey, labelled by it, whose boundaries lie far inside the box in any norm."""
    generator = torch.Generator().manual_seed(seed)
    net = nn.Sequential(nn.Flatten(), nn.Linear(side * side, classes))
    with torch.no_grad():
        net[1].weight.copy_(torch.randn(classes, side * side, generator=generator))
        net[1].bias.copy_(-0.5 * net[1].weight.sum(1))
    images = 0.5 + 0.06 * torch.randn(n, 1, side, side, generator=generator).clamp(-1.5, 1.5)
    model = models.wrap(net, classes=classes, input_shape=(1, side, side)).eval()
    labels = model.predict(images).argmax(1)
    return model, Dataset("linear", images, labels, tuple(str(k) for k in range(classes)))


def smallest(model: Classifier, data: Dataset, norm: str, targets: torch.Tensor | None = None) -> torch.Tensor:
    """The distance to the nearest boundary (to the target's region: a lower bound, its nearest half-space)."""
    weight = model.net[1].weight.detach()
    logits = model.predict(data.images)
    rows = torch.arange(len(data))
    gap = logits[rows, data.labels][:, None] - logits
    across = weight[data.labels][:, None] - weight[None]
    if norm == "l0":
        return _fewest(data.images.flatten(1), across, gap, data.labels)
    distance = gap / torch.linalg.vector_norm(across, ord=DUAL[norm], dim=2)
    if targets is not None:
        return distance[rows, targets]
    return distance.scatter(1, data.labels[:, None], torch.inf).amin(1)


def _fewest(x: torch.Tensor, across: torch.Tensor, gap: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The fewest pixels: those with the largest gain when driven to a wall, until the gap is closed."""
    gains = torch.maximum(across * x[:, None], -across * (1 - x)[:, None]).sort(dim=2, descending=True).values
    enough = gains.cumsum(2) > gap[:, :, None]
    count = torch.where(enough.any(2), enough.float().argmax(2) + 1, torch.inf)
    return count.scatter(1, labels[:, None], torch.inf).amin(1)
