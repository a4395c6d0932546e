"""Networks that look robust without being so, and ordinary ones: what benchmarks/tricky.py tries the audit on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pixelproof import defend, models
from pixelproof.data import Dataset
from pixelproof.models import Classifier, Training

Net = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Parts:
    """What the tricky networks are made of: an adversarially trained network, a plain one, and training images."""

    hardened: Classifier
    plain: Classifier
    train: Dataset
    elsewhere: nn.Linear

    @classmethod
    def of(cls, train: Dataset, validation: Dataset) -> Parts:
        """Both trained here, and a linear map that has nothing to do with them."""
        plain = models.load("cnn", data=train)
        wanted = defend.Hardening(defend.parse(["fgsm-rs:eps=0.15"]))
        hardened = wanted.conduct(plain, train, validation=validation, seed=0).model
        elsewhere = nn.Linear(train.images[0].numel(), len(train.classes))
        with torch.no_grad():
            for weight in elsewhere.parameters():
                weight.copy_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)) / 8)
        return cls(hardened, plain, train, elsewhere.requires_grad_(False))

    def slope(self, x: Tensor) -> Tensor:
        """Ten numbers that change with the image and say nothing about it."""
        found: Tensor = self.elsewhere(x.flatten(1))
        return found

    def votes(self, x: Tensor, k: int = 5) -> Tensor:
        """How many of the k nearest training images are of each class."""
        with torch.no_grad():
            nearest = torch.cdist(x.flatten(1), self.train.images.flatten(1)).topk(k, largest=False).indices
            return one_hot(self.train.labels[nearest]).sum(1)


class Tricky(nn.Module):
    """A function of images as a network, around the classifier that it hides."""

    def __init__(self, inner: Classifier, function: Net) -> None:
        super().__init__()
        self.inner, self.function = inner, function

    def forward(self, images: Tensor) -> Tensor:
        """One row of outputs per image."""
        return self.function(images)


def one_hot(labels: Tensor) -> Tensor:
    """Rows of ten."""
    return nn.functional.one_hot(labels, 10).float()


def through(x: Tensor, value: Tensor) -> Tensor:
    """`value` with the gradient of `x`."""
    return x + (value - x).detach()


def hard(net: Net, x: Tensor) -> Tensor:
    """Ten for the class that a network decides for, and nothing that leads back to the image."""
    with torch.no_grad():
        return 10 * one_hot(net(x).argmax(1))


def by_hash(x: Tensor, size: float) -> Tensor:
    """Noise that is the same whenever the same image comes, and another for every other image."""
    with torch.no_grad():
        phase = (x.flatten(1) * torch.linspace(1e5, 2e5, x[0].numel())).sum(1, keepdim=True)
        return size * (phase * torch.linspace(1, 7, 10)).sin()


def tricky(parts: Parts) -> dict[str, Net]:
    """Every trick by its name, over the hardened network."""
    net, plain, slope = parts.hardened, parts.plain, parts.slope

    def temperature(x: Tensor, factor: float) -> Tensor:
        return (factor * net(x)).softmax(1).clamp_min(1e-12).log()

    def rolled(x: Tensor) -> Tensor:
        still = x.detach()
        return net(still + torch.roll(x - still, 3, dims=-1))

    def fresh(x: Tensor) -> Tensor:
        return net(x.detach()) + 1e-3 * _random_gradient(x)

    def off_grid(x: Tensor) -> Tensor:
        on_grid = ((x * 255).round() / 255 - x).abs().flatten(1).amax(1) < 1e-6
        return torch.where(on_grid[:, None], net(x), net((x * 3).round() / 3))

    def purified(x: Tensor) -> Tensor:
        with torch.enable_grad():
            inner = x.detach().requires_grad_()
            gradient = torch.autograd.grad(net(inner).logsumexp(1).sum(), inner)[0]
        return net((x + 0.02 * gradient.sign()).clamp(0, 1))

    @torch.no_grad()
    def closed(x: Tensor) -> Tensor:
        return net(x)

    def company(x: Tensor) -> Tensor:
        return net((x - 0.5 * x.mean(0, keepdim=True)).clamp(0, 1)) if len(x) > 1 else net(x)

    return {
        "one-hot of the decision": lambda x: hard(net, x),
        "one-hot + slope 1e-6": lambda x: hard(net, x) + 1e-6 * slope(x),
        "one-hot + slope 1e-4": lambda x: hard(net, x) + 1e-4 * slope(x),
        "one-hot + slope 1e-2": lambda x: hard(net, x) + 1e-2 * slope(x),
        "one-hot + slope 1": lambda x: hard(net, x) + slope(x),
        "one-hot + slope 10": lambda x: hard(net, x) + 10 * slope(x),
        "one-hot + plain network 1e-4": lambda x: hard(net, x) + 1e-4 * plain(x),
        "one-hot + ripples": lambda x: hard(net, x) + 1e-2 * (300 * slope(x)).sin(),
        "one-hot + own slope backwards": lambda x: hard(net, x) - 1e-3 * net(x),
        "one-hot + own slope": lambda x: hard(net, x) + 1e-3 * net(x),
        "temperature 1000": lambda x: temperature(x, 1000),
        "temperature 30": lambda x: temperature(x, 30),
        "probabilities": lambda x: net(x).softmax(1),
        "tanh of 30 times": lambda x: torch.tanh(30 * (net(x) - net(x).amax(1, keepdim=True) / 2)),
        "logits x 1e-8": lambda x: 1e-8 * net(x),
        "logits x 1e6": lambda x: 1e6 * net(x),
        "logits + 1e6": lambda x: net(x) + 1e6,
        "integer logits": lambda x: net(x).round(),
        "integer logits + slope": lambda x: net(x).round() + 1e-3 * slope(x),
        "logits clipped at 2": lambda x: net(x).clamp(-2, 2) + 1e-3 * slope(x),
        "gradient negated": lambda x: net(2 * x.detach() - x),
        "gradient moved by 3 pixels": rolled,
        "gradient of another network": lambda x: through(plain(x), net(x)),
        "gradient of a fixed linear map": lambda x: through(slope(x), net(x)),
        "gradient drawn anew": fresh,
        "gradient a thousandth": lambda x: through(1e-3 * net(x), net(x)),
        "gradient detached": lambda x: net(x.detach()) + 0 * x.flatten(1).sum(1, keepdim=True),
        "no gradient at all": closed,
        "gradient infinite": lambda x: net(x.sqrt() ** 2),
        "input in 16 levels": lambda x: net((x * 15).round() / 15 + 0 * x),
        "input in 4 levels": lambda x: net((x * 3).round() / 3 + 0 * x),
        "input in 16 levels, passed through": lambda x: net(through(x, (x * 15).round() / 15)),
        "contrast clipped": lambda x: net(((x - 0.5) * 8 + 0.5).clamp(0, 1)),
        "other answers off the grid": off_grid,
        "noise by the image's hash": lambda x: net(x) + by_hash(x, 3.0),
        "noise on the input": lambda x: net((x + 0.1 * torch.randn_like(x)).clamp(0, 1)),
        "noise on one pass in twenty": lambda x: net(x) + 30 * (torch.rand(1) < 0.05) * torch.randn(len(x), 10),
        "mean of the batch subtracted": company,
        "other answers with gradients": lambda x: net(x) if not torch.is_grad_enabled() else hard(net, x) + slope(x),
        "optimises in the pass": purified,
        "nearest neighbours' vote + slope": lambda x: parts.votes(x) + 1e-4 * slope(x),
        "nearest neighbours' vote + network": lambda x: parts.votes(x) + 1e-2 * plain(x),
        "vote of 5 shifted copies + slope": lambda x: (
            sum(hard(net, torch.roll(x, by, dims=-1)) for by in (0, 0, 0, 1, -1)) + 1e-4 * slope(x)
        ),
    }


class _RandomGradient(torch.autograd.Function):
    """Zero, with a gradient that is drawn anew each time."""

    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        return x.new_zeros(len(x), 10)

    @staticmethod
    def backward(ctx: object, output: Tensor) -> Tensor:
        return torch.randn(len(output), 1, 8, 8)


def _random_gradient(x: Tensor) -> Tensor:
    found: Tensor = _RandomGradient.apply(x)
    return found


def ordinary(parts: Parts, train: Dataset, validation: Dataset) -> dict[str, Classifier]:
    """Ten networks that hide nothing, trained here."""

    def dense(*layers: nn.Module) -> nn.Module:
        return nn.Sequential(nn.Flatten(), *layers)

    def convolutions(*pool: nn.Module, act: type[nn.Module] = nn.ReLU, norm: bool = False) -> nn.Module:
        extra = [nn.BatchNorm2d(16)] if norm else []
        first = [nn.Conv2d(1, 16, 3, padding=1), *extra, act(), *pool]
        size = 16 * (16 if pool else 64)
        return nn.Sequential(*first, nn.Flatten(), nn.Linear(size, 64), act(), nn.Linear(64, 10))

    def trained(net: nn.Module, epochs: int = 12) -> Classifier:
        model = models.wrap(net, classes=list(train.classes), input_shape=(1, 8, 8))
        with torch.random.fork_rng():
            torch.manual_seed(0)
            models.train(model, train, validation, Training(epochs=epochs, batch=64))
        return model.eval()

    def hardened(net: str, *specs: str) -> Classifier:
        start = models.load(net, data=train)
        return defend.Hardening(defend.parse(list(specs))).conduct(start, train, validation=validation, seed=1).model

    torch.manual_seed(0)
    return {
        "cnn, 3 epochs": models.load("cnn", data=train, training=Training(epochs=3, batch=32, seed=0)),
        "cnn": parts.plain,
        "cnn, fgsm-rs": parts.hardened,
        "mlp": models.load("mlp", data=train),
        "mlp, trades": hardened("mlp", "trades:eps=0.1"),
        "mlp, input-gradient": hardened("mlp", "input-gradient"),
        "GELU": trained(dense(nn.Linear(64, 64), nn.GELU(), nn.Linear(64, 10))),
        "sigmoid": trained(dense(nn.Linear(64, 96), nn.Sigmoid(), nn.Linear(96, 10)), 30),
        "max-pool": trained(convolutions(nn.MaxPool2d(2))),
        "batch norm, average pool": trained(convolutions(nn.AvgPool2d(2), norm=True)),
    }
