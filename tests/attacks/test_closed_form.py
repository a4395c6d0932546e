"""Attacks on linear networks, whose answers can be written down."""

import pytest
import torch
from attack_toys import linear

from pixelproof import lp
from pixelproof.attacks import BIM, FGSM, PGD, DeepFool, mount
from pixelproof.types import Goal

DUAL = {"linf": "l1", "l2": "l2"}


def margins(model, toy, images):
    """The true class's lead over the other one, in a network of two classes."""
    logits = model(images)
    other = 1 - toy.labels
    return (logits.gather(1, toy.labels[:, None]) - logits.gather(1, other[:, None]))[:, 0]


def lengths(weight, labels, kind):
    """The dual norm of w_y - w_k for every class k of a linear network, (n, classes)."""
    difference = weight[labels][:, None] - weight[None]
    order = {"l1": 1, "l2": 2}[kind]
    return torch.linalg.vector_norm(difference, ord=order, dim=2)


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("kind", [FGSM, BIM, PGD])
def test_a_budget_lowers_a_linear_margin_by_eps_times_the_dual_norm(kind, norm):
    model, weight, toy = linear(classes=2)
    eps = {"linf": 0.01, "l2": 0.04}[norm]
    steps = {FGSM: {}, BIM: {}, PGD: {"steps": 60, "step_size": eps / 4}}[kind]  # enough to forget the random start
    images = kind(eps, norm=norm, **steps)(model, toy.images, Goal(toy.labels), torch.Generator())
    drop = margins(model, toy, toy.images) - margins(model, toy, images)
    best = eps * lengths(weight, toy.labels, DUAL[norm]).amax(1)
    still = ~Goal(toy.labels).reached(model(images))  # an iterative attack stops once it has won
    assert still.sum() > 5
    torch.testing.assert_close(drop[still], best[still], rtol=2e-3, atol=1e-4)
    assert (drop <= best + 1e-4).all()


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("classes", [2, 4])
def test_deepfool_finds_the_minimal_perturbation_of_a_linear_net(norm, classes):
    """min over k of (z_y - z_k) / ||w_y - w_k||, stretched by the overshoot of 2 %: within 3 % of the optimum."""
    model, weight, toy = linear(classes)
    images = DeepFool(norm=norm)(model, toy.images, Goal(toy.labels), torch.Generator())
    logits = model(toy.images).detach()
    gaps = logits.gather(1, toy.labels[:, None]) - logits
    smallest = (gaps / lengths(weight, toy.labels, DUAL[norm])).nan_to_num(float("inf"))
    smallest = smallest.scatter(1, toy.labels[:, None], float("inf")).amin(1)
    size = lp.norm(images - toy.images, norm)
    assert Goal(toy.labels).reached(model(images)).all()
    far = smallest > 0.015  # the absolute push of 1e-4 shows on what lies on the boundary already
    assert far.sum() > 10
    assert (size >= smallest * 0.999).all()
    assert (size[far] <= 1.03 * smallest[far]).all()


@pytest.mark.parametrize("kind", [BIM, PGD])
def test_a_linear_net_breaks_exactly_at_its_distance(kind):
    model, weight, toy = linear(classes=2)
    distance = margins(model, toy, toy.images).detach() / lengths(weight, toy.labels, "l1").amax(1)
    eps = float(distance.median())
    found = mount(kind(eps, steps=20), model, toy)
    clear = (distance - eps).abs() > 1e-4
    assert torch.equal(found.success[clear], (distance < eps)[clear])


def test_fgsm_steps_are_exactly_eps_where_nothing_clips():
    model, _, toy = linear()
    images = FGSM(0.03)(model, toy.images, Goal(toy.labels), torch.Generator())
    torch.testing.assert_close((images - toy.images).abs(), torch.full_like(toy.images, 0.03))


def test_targeted_attacks_reach_their_class_and_no_other():
    model, _, toy = linear(classes=3)
    targets = (toy.labels + 1) % 3
    found = mount(PGD(0.2, steps=20), model, toy, targets=targets)
    assert found.success.all()
    assert torch.equal(found.predicted, targets)
