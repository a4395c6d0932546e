"""Small classifiers with random weights for the one-pixel tests."""

import torch
from torch import nn

from pixelproof.models import Card, Classifier
from pixelproof.models.nets import Residual, build


def classifier(net, shape, classes=4, *, seed=0, normalised=False):
    """`net` with seeded weights (and batch-norm statistics that are not the identity), in evaluation mode."""
    generator = torch.Generator().manual_seed(seed)
    for tensor in net.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(torch.empty_like(tensor).uniform_(-0.5, 0.5, generator=generator))
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_var.abs_().add_(0.5)
    card = Card("small", tuple(str(k) for k in range(classes)), shape)
    moments = {"mean": [0.4] * shape[0], "std": [0.3] * shape[0]} if normalised else {}
    return Classifier(net, card, **moments).eval()


def plain(channels=3, size=12, classes=4):
    side = (size - 2) // 2
    return nn.Sequential(
        nn.Conv2d(channels, 6, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(6, 6, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(6 * side * side, 10),
        nn.ReLU(),
        nn.Linear(10, classes),
    )


def strided(channels=3):
    return nn.Sequential(
        nn.Conv2d(channels, 4, 5, stride=2, padding=2, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Conv2d(4, 6, (3, 1), stride=1, dilation=(2, 1)),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(6 * 4 * 8, 4),
    )


def overlapping(channels=3):
    return nn.Sequential(
        nn.Conv2d(channels, 4, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(3, 2, 1),
        nn.Conv2d(4, 4, 3, padding=1, groups=2),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(4 * 4 * 4, 4),
    )


def residual(channels=3):
    return nn.Sequential(
        nn.Conv2d(channels, 4, 3, padding=1, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        Residual(4, 4, 1),
        Residual(4, 6, 2),
        nn.Flatten(),
        nn.Linear(6 * 12 * 12, 4),
    )


def averaged(channels=3):
    return nn.Sequential(
        nn.Conv2d(channels, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 4)
    )


def smooth(channels=3):
    return nn.Sequential(
        nn.Conv2d(channels, 4, 3, padding=1),
        nn.Sigmoid(),
        nn.Conv2d(4, 4, 3),
        nn.GELU(),
        nn.Flatten(),
        nn.Linear(784, 4),
    )


def deep(hidden):
    """Dense layers with rectifiers between them, `hidden` of 8 neurons each, for 3x4x4 images and three classes."""
    inner = [layer for _ in range(hidden - 1) for layer in (nn.Linear(8, 8), nn.ReLU())]
    return nn.Sequential(nn.Flatten(), nn.Linear(48, 8), nn.ReLU(), *inner, nn.Linear(8, 3))


class Forked(nn.Module):
    """A pool that both a rectifier and a sum read, so that its negative values matter."""

    def __init__(self, channels=3):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 6, 3, padding=1)
        self.conv2 = nn.Conv2d(6, 6, 3, padding=1)
        self.fc = nn.Linear(6 * 6 * 6, 4)

    def forward(self, x):
        x = nn.functional.max_pool2d(self.conv1(x), 2)
        return self.fc((self.conv2(x.relu()) + x).relu().flatten(1))


class Turning(nn.Module):
    """An operation that no window can be followed through, in the middle."""

    def __init__(self, channels=3):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 4, 3, padding=1)
        self.conv2 = nn.Conv2d(4, 4, 3, padding=1)
        self.fc = nn.Linear(4 * 16 * 16, 4)

    def forward(self, x):
        x = self.conv1(x).relu()
        x = self.conv2(x.transpose(2, 3).flip(3)).relu()
        return self.fc(x.flatten(1))


class Noisy(nn.Module):
    """Dropout that stays on in evaluation mode."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3 * 8 * 8, 4)

    def forward(self, x):
        return self.fc(nn.functional.dropout(x.flatten(1), 0.5, training=True))


NETS = {
    "plain": (lambda: plain(), (3, 12, 12), True),
    "grey": (lambda: plain(1, 14), (1, 14, 14), False),
    "strided": (lambda: strided(), (3, 16, 16), False),
    "overlapping": (lambda: overlapping(), (3, 16, 16), True),
    "residual": (lambda: residual(), (3, 24, 24), False),
    "averaged": (lambda: averaged(), (3, 16, 16), False),
    "smooth": (lambda: smooth(), (3, 16, 16), False),
    "turning": (lambda: Turning(), (3, 16, 16), False),
    "oblong": (lambda: averaged(), (3, 10, 17), False),
    "mlp": (lambda: build("mlp", (1, 8, 8), 4, 0), (1, 8, 8), True),
}


def make(name, seed=0):
    net, shape, normalised = NETS[name]
    return classifier(net(), shape, seed=seed, normalised=normalised)


def random_images(shape, n, seed=0):
    return torch.rand((n, *shape), generator=torch.Generator().manual_seed(seed))
