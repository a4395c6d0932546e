"""Attacks on random models: no stop at a lucky draw."""

from dataclasses import replace

import pytest
import torch
from linear_nets import linear
from torch import nn

from pixelproof import attacks, models
from pixelproof.attacks import APGD, PGD, MarginPGD
from pixelproof.attacks.mount import Prepared
from pixelproof.attacks.objectives import Objective
from pixelproof.attacks.stochastic import Untiring
from pixelproof.data import Dataset
from pixelproof.draws import Draws
from pixelproof.types import Goal


class Shaky(nn.Module):
    def forward(self, x):
        return x + 0.02 * torch.randn_like(x)


def shaky(n: int = 6) -> tuple[models.Classifier, Dataset]:
    """A linear net behind noise, and images that it gets right more often than not."""
    model, data = linear(0, n=n)
    return models.wrap(nn.Sequential(Shaky(), model.net), classes=5, input_shape=(1, 4, 4)).eval(), data


def test_an_untiring_goal_is_never_reached_and_otherwise_the_same():
    goal = Goal(torch.tensor([0, 1, 1]), eps=torch.tensor([0.1, 0.2, 0.3]))
    logits = torch.tensor([[0.0, 1.0, 2.0], [3.0, 1.0, 0.0], [0.0, 5.0, 1.0]])
    wanted = Untiring.of(goal)
    assert goal.reached(logits).tolist() == [True, True, False]
    assert not wanted.reached(logits).any()
    assert not Objective.of(wanted, "margin")[1:].reached(logits[1:]).any()
    assert torch.equal(wanted[1:].eps, goal.eps[1:])
    assert torch.equal(wanted.margin(logits), goal.margin(logits))
    assert torch.equal(wanted.loss(logits), goal.loss(logits))


@pytest.mark.parametrize(
    "attack", [PGD(0.1, steps=5, precision="float32"), APGD(0.1, steps=5), MarginPGD(0.1, steps=5)]
)
def test_against_a_random_model_every_image_takes_every_step(attack):
    model, data = shaky()
    found = attacks.mount(attack, model, data)
    assert (found.backwards >= 5).all()
    assert (found.first_break >= 0).any()  # the true goal is still watched
    fixed = attacks.mount(attack, *linear(0, n=6))
    assert (fixed.backwards[fixed.success] < 5).any()


def test_a_sweep_goes_through_on_a_random_model():
    model, data = shaky(4)
    low, high = attacks.sweep(PGD(0.1, steps=4), model, data, [0.0001, 0.3])
    assert (low.rate < 0.5).all()
    assert (high.rate > 0.9).all()
    assert (low.forwards >= 4).all()


def test_an_image_that_did_not_change_keeps_its_rate():
    model, data = shaky()
    field = Prepared.of(model, data, None, None)
    attack = PGD(0.0001, steps=2)
    with field.seeded(0):
        outcome = field.run(attack, Draws.keyed(0, field.data.index))
        before = field.judge(outcome, attack, 0)
        changed = replace(outcome, images=outcome.images.clone())
        changed.images[0] = 1 - field.clean[0]
        after = field.judge(changed, attack, 0, before=before)
    assert ((before.rate > 0) & (before.rate < 1)).sum() > 2  # new draws would give other rates
    assert torch.equal(after.rate[1:], before.rate[1:])
    assert torch.equal(after.success_8bit[1:], before.success_8bit[1:])
    assert after.rate[0] > 0.5 > before.rate[0]
