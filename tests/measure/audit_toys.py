"""Toy models with a known fault each, and the subject of an audit on them."""

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import nn

from pixelproof import models
from pixelproof.attacks import PGD, Auto, MarginPGD, Square
from pixelproof.attacks.auto.ensemble import EnsembleStage
from pixelproof.data import Dataset
from pixelproof.measure.audit import prepare
from pixelproof.measure.redflags import Claim
from pixelproof.results import Effort

SMALL = Effort(probes=60, draws=20, doubled=30, noisy=4, noise=200, queries=300, planted=6, inner=60, width=1.0)


def linear(classes=5, *, before=None, after=None, scale=4.0, seed=0):
    """A linear net on 4 x 4 images with something put before or after it, and 30 images that it gets right."""
    generator = torch.Generator().manual_seed(seed)
    dense = nn.Linear(16, classes)
    with torch.no_grad():
        dense.weight.copy_(scale * torch.randn(classes, 16, generator=generator))
        dense.bias.copy_(-dense.weight.sum(1) / 2)
    parts = [before or nn.Identity(), nn.Flatten(), dense, after or nn.Identity()]
    plain = models.wrap(nn.Sequential(*parts[1:3]), classes=classes, input_shape=(1, 4, 4)).eval()
    model = models.wrap(nn.Sequential(*parts[:3]), classes=classes, input_shape=(1, 4, 4)).eval()
    model.net = nn.Sequential(*parts).eval()
    images = 0.3 + 0.4 * torch.rand(30, 1, 4, 4, generator=generator)
    names = tuple(str(k) for k in range(classes))
    index = torch.arange(1000, 1030)  # positions that differ from row numbers
    return model, Dataset("toy", images, plain.predict(images).argmax(1), names, index)


def profile(*knots, n=30):
    """A net whose margin is piecewise linear in s = x0 - x1, and n copies of one image at s = 0.2, of class 1."""
    model = models.wrap(Profile(torch.tensor(knots)), classes=2, input_shape=(1, 1, 2)).eval()
    images = torch.tensor([0.6, 0.4]).expand(n, 1, 1, 2).clone()
    return model, Dataset(
        "profile", images, torch.ones(n, dtype=torch.long), ("low", "high"), torch.arange(1000, 1000 + n)
    )


class Profile(nn.Module):
    def __init__(self, knots):
        super().__init__()
        self.at, self.value = knots[:, 0].contiguous(), knots[:, 1]

    def forward(self, x):
        s = (x[:, 0, 0, 0] - x[:, 0, 0, 1]).clamp(float(self.at[0]), float(self.at[-1]))
        right = torch.searchsorted(self.at, s.detach().contiguous()).clamp(1, len(self.at) - 1)
        share = (s - self.at[right - 1]) / (self.at[right] - self.at[right - 1])
        margin = self.value[right - 1] + share * (self.value[right] - self.value[right - 1])
        return torch.stack([-margin / 2, margin / 2], 1)


class Quantise(nn.Module):
    """Hides the gradient, and changes the image by at most a hundredth."""

    def forward(self, x):
        return (x * 50).round() / 50 + 0 * x


class Detach(nn.Module):
    """Cuts the graph: nothing leads back to the image."""

    def forward(self, x):
        return x.detach()


class Noise(nn.Module):
    def forward(self, x):
        return x + 0.1 * torch.randn_like(x)


class Shatter(nn.Module):
    """Features that turn over within a thousandth of a grey level: no search finds a given point among them."""

    def forward(self, x):
        weights = torch.randn(16, 120, generator=torch.Generator().manual_seed(1))
        return (3000 * x.flatten(1) @ weights).sin()[:, None, None]


class Jitter(nn.Module):
    """Logits that jump with the smallest change of the image."""

    def forward(self, logits):
        return logits + 20 * (1e5 * logits).sin()


class Decided(nn.Module):
    """The decision of one network, and the slope of another that points elsewhere."""

    def __init__(self, net, other, slope):
        super().__init__()
        self.net, self.other, self.slope = net, other, slope

    def forward(self, x):
        with torch.no_grad():
            logits = self.net(x)
        decided = nn.functional.one_hot(logits.argmax(1), logits.shape[1])
        return 10 * decided + self.slope * self.other(x)


class Scale(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, logits):
        return self.factor * logits


class Root(nn.Module):
    """Changes nothing, but its gradient is infinite at black pixels."""

    def forward(self, x):
        return x.sqrt() ** 2


class Company(nn.Module):
    """Subtracts the mean of the batch, as a batch norm in training mode does."""

    def forward(self, x):
        return x - x.mean(0, keepdim=True) if len(x) > 1 else x


class Dream(nn.Module):
    def forward(self, x):
        with torch.enable_grad():
            inner = x.detach().requires_grad_()
            torch.autograd.grad((inner**2).sum(), inner)
        return x


@dataclass(frozen=True)
class Forgetful:
    """PGD that gives the clean image back."""

    eps: float
    norm: ClassVar[str] = "linf"
    name: ClassVar[str] = "forgetful"
    kind: ClassVar[str] = "budget"
    draws: ClassVar[bool] = True
    targetable: ClassVar[bool] = True

    def __call__(self, model, images, goal, rng):
        PGD(self.eps)(model, images, goal, rng)
        return images


@dataclass(frozen=True)
class Short(Auto):
    """An ensemble of two parts, quick enough for tests."""

    def stages(self, classes, *, targeted=False, gradient=True):
        parts = (MarginPGD(self.eps), Square(self.eps, 200))
        return tuple(EnsembleStage(part, 0, False) for part in (parts if gradient else parts[1:]))


def subject(toy, eps=0.05, *, reported=None, trained_with=None, surrogate=None, missed=False, effort=SMALL):
    """What the tests of an audit look at; `missed`: an evaluation that broke nothing, whatever there was."""
    model, data = toy
    claim = Claim(reported or PGD(eps), trained_with, surrogate)
    found = prepare(model, data, Short(eps), claim, effort, tell=lambda *heard: None)
    if not missed:
        return found
    nothing = torch.zeros_like(found.evaluation.success)
    return replace(
        found, evaluation=replace(found.evaluation, success=nothing, rate=nothing.float(), broken_by=nothing.long() - 1)
    )
