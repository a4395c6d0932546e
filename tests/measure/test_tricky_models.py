"""Networks that play tricks around a linear one whose robust accuracy is known: flagged where the bound is loose.

The table of docs/audit.md, made by benchmarks/tricky.py, holds many more.
"""

from dataclasses import dataclass, replace

import pytest
import torch
from audit_toys import SMALL, linear
from torch import nn

from pixelproof import measure
from pixelproof.attacks import Auto, MarginPGD
from pixelproof.attacks.auto.ensemble import EnsembleStage
from pixelproof.types import Rate

EPS = 0.04
EFFORT = replace(SMALL, queries=500, planted=2, noisy=1, noise=50, draws=5)


@dataclass(frozen=True)
class Blindfold(Auto):
    """An ensemble of one gradient attack, which every trick escapes: what the flags are for."""

    def stages(self, classes, *, targeted=False, gradient=True):
        return (EnsembleStage(MarginPGD(self.eps, 10), 0, False),)


class Trick(nn.Module):
    def __init__(self, net, function):
        super().__init__()
        self.net, self.function = net, function
        self.other = linear(seed=1)[0].net

    def forward(self, x):
        return self.function(self.net, self.other, x)


def hard(net, x):
    with torch.no_grad():
        return 10 * nn.functional.one_hot(net(x).argmax(1), 5).float()


def through(slope, value):
    return slope + (value - slope).detach()


TRICKS = {
    "one-hot": lambda net, other, x: hard(net, x) + 0 * other(x),
    "one-hot + slope 1e-6": lambda net, other, x: hard(net, x) + 1e-6 * other(x),
    "one-hot + slope 1e-2": lambda net, other, x: hard(net, x) + 1e-2 * other(x),
    "temperature": lambda net, other, x: (1000 * net(x)).softmax(1).clamp_min(1e-12).log(),
    "gradient of another network": lambda net, other, x: through(other(x), net(x)),
    "gradient negated": lambda net, other, x: net(2 * x.detach() - x),
    "gradient detached": lambda net, other, x: net(x.detach()) + 0 * other(x),
    "rounded logits": lambda net, other, x: net(x).round() + 1e-4 * other(x),
}
ORDINARY = {
    "plain": lambda net, other, x: net(x),
    "x 1e-6": lambda net, other, x: 1e-6 * net(x),
    "x 1e6": lambda net, other, x: 1e6 * net(x),
    "+ 100": lambda net, other, x: net(x) + 100,
}


def robust(net, data):
    """The exact robust accuracy of a linear network: no image is so near to 0 or 1 that the box matters."""
    weights, logits = net[1].weight, net(data.images)
    own, rows = data.labels, torch.arange(len(data))
    margins = logits[rows, own][:, None] - logits
    reach = EPS * (weights[own][:, None] - weights[None]).abs().sum(2)
    holds = (margins > reach) | nn.functional.one_hot(own, 5).bool()
    return Rate(int(holds.all(1).sum()), len(data))


@pytest.fixture
def audited(monkeypatch):
    monkeypatch.setattr(Auto, "stages", Blindfold.stages)

    def run(function):
        model, data = linear()
        exact = robust(model.net[1:], data)
        model.net = Trick(model.net, function)
        return measure.audit(model, data, eps=EPS, effort=EFFORT), exact

    return run


@pytest.mark.parametrize("name", TRICKS)
def test_a_bound_that_is_too_high_is_not_believed(name, audited):
    found, exact = audited(TRICKS[name])
    assert float(exact) < found.evaluation.robust_accuracy.interval[0], "the trick works on the ensemble"
    assert not found.believable
    assert found.verdict.startswith("not shown robust")


@pytest.mark.parametrize("name", ORDINARY)
def test_an_ordinary_network_gets_its_bound_whatever_the_scale_of_its_logits(name, audited):
    found, exact = audited(ORDINARY[name])
    assert found.evaluation.robust_accuracy == exact
    assert found.believable, found.verdict
