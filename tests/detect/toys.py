"""Small models and data whose every score is known: two dense layers on 2 x 2 images."""

import torch
from torch import nn

from pixelproof import models
from pixelproof.data import Dataset

CLASSES = 3


def blobs(n: int, seed: int = 0, spread: float = 0.12) -> Dataset:
    """Images of 1 x 2 x 2 pixels around one centre per class; some lie nearer to another class's centre."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.tensor([[0.2, 0.2, 0.2, 0.8], [0.8, 0.2, 0.2, 0.2], [0.2, 0.8, 0.8, 0.2]])
    labels = torch.randint(CLASSES, (n,), generator=generator)
    images = centres[labels] + spread * torch.randn((n, 4), generator=generator)
    return Dataset("blobs", images.clamp(0, 1).view(n, 1, 2, 2), labels, ("a", "b", "c"))


def network(seed: int = 0) -> models.Classifier:
    """flatten-fc1-relu-fc2, trained for a moment on `blobs`."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = nn.Sequential(nn.Flatten(), nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, CLASSES))
    classifier = models.wrap(net, classes=("a", "b", "c"), input_shape=(1, 2, 2)).eval()
    data = blobs(400, seed=99)
    optimiser = torch.optim.Adam(net.parameters(), lr=0.02)
    for _ in range(60):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(classifier(data.images), data.labels).backward()
        optimiser.step()
    optimiser.zero_grad()
    return classifier


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
