"""The attack on critical pixels: on a linear net the best k pixels are known, and no other pixel may move."""

import pytest
import torch
from attack_toys import digits_net, linear

from pixelproof import attacks
from pixelproof.attacks import Critical, confined, mount
from pixelproof.attacks.critical import contributions
from pixelproof.attacks.watch import watch
from pixelproof.errors import BadInput
from pixelproof.types import Goal


def test_on_two_classes_of_a_linear_net_it_takes_the_largest_weights():
    model, weight, data = linear(classes=2)
    goal = Goal(data.labels)
    found = Critical(0.2, k=3, steps=4)(model, data.images, goal, torch.Generator())
    changed = (found != data.images).flatten(1)
    most = (weight[0] - weight[1]).abs().topk(3).indices
    others = torch.ones(16, dtype=torch.bool)
    others[most] = False
    assert changed.any()
    assert not changed[:, others].any()


def test_no_more_than_k_positions_move_and_more_pixels_fool_more():
    model, test = digits_net()
    found = [mount(Critical(0.4, k=k, steps=6), model, test) for k in (1, 8, 64)]
    assert all((each.distance["l0"] <= k).all() for each, k in zip(found, (1, 8, 64), strict=True))
    fooled = [int(each.success.sum()) for each in found]
    assert fooled[0] < fooled[1] < fooled[2]


def test_contributions_add_up_to_the_change_of_the_loss_on_a_linear_logit():
    model, _, data = linear()
    goal = Goal(data.labels)
    moved = (data.images + 0.01).clamp(0, 1)
    shares = contributions(watch(model, goal), data.images, moved, goal)
    change = goal.loss(model(moved)) - goal.loss(model(data.images))
    torch.testing.assert_close(shares.flatten(1).sum(1), change.detach(), atol=1e-5, rtol=1e-3)


def test_confined_keeps_to_its_pixels_its_budget_and_the_range():
    model, test = digits_net()
    images, goal = test.images, Goal(test.labels)
    pixels = torch.zeros(len(test), 8, 8, dtype=torch.bool)
    pixels[:, 2:5, 3:6] = True
    with torch.no_grad():
        before = model(images).argmax(1)
    found = confined(model, images, goal, pixels, eps=0.5, steps=5)
    assert not (found != images)[~pixels[:, None].expand_as(images)].any()
    assert (found - images).abs().max() <= 0.5 + 1e-6
    assert found.min() >= 0
    assert found.max() <= 1
    assert (model.predict(found).argmax(1) != test.labels).sum() > (before != test.labels).sum()


def test_a_larger_k_than_the_image_is_refused():
    model, test = digits_net()
    with pytest.raises(BadInput, match=r"critical: k must lie in 1\.\.64"):
        mount(attacks.parse("critical:k=65,eps=0.2"), model, test)
    with pytest.raises(BadInput, match="k must be at least 1"):
        attacks.parse("critical:k=0,eps=0.2")
