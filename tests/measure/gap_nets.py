"""Nets of two classes and two pixels whose answer depends on one difference, so that every bound is known."""

import torch
from torch import nn

from pixelproof import models
from pixelproof.data import Dataset


def two_classes(net: nn.Module, gaps: list[float]) -> tuple[models.Classifier, Dataset]:
    """Images of two pixels in which x0 - x1 = gap decides; an linf change of |gap| / 2 flips an image."""
    images = torch.tensor([[[[0.5 + gap / 2, 0.5 - gap / 2]]] for gap in gaps])
    model = models.wrap(net, classes=2, input_shape=(1, 1, 2)).eval()
    labels = torch.tensor([int(gap > 0) for gap in gaps])
    return model, Dataset("gaps", images, labels, ("low", "high"))


class Gap(nn.Module):
    def forward(self, x):
        gap = 10 * (x[:, 0, 0, 0] - x[:, 0, 0, 1])
        return torch.stack([-gap, gap], 1)


GAPS = [0.05, -0.1, 0.15, 0.25, -0.3, 0.4, -0.5, 0.6]
