"""Repairs of the outlying pixels only: the same answer where the changed pixel is one; attacks can follow them."""

import pytest
import torch
from torch import nn

from pixelproof import models
from pixelproof.data import Dataset
from pixelproof.detect import Repair, adapt, evade, neighbour_medians, surrogate
from pixelproof.detect.detectors.repair import outlying
from pixelproof.errors import BadInput

from .toys import generator


def network():
    """A linear network on 6 x 6 grey images: class 1 when the weighted sum of the pixels is large."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(36, 2))
    with torch.no_grad():
        net[1].weight.copy_(torch.stack([torch.zeros(36), torch.linspace(1, 2, 36)]))
        net[1].bias.copy_(torch.tensor([0.0, -1.2]))
    return models.wrap(net, classes=2, input_shape=(1, 6, 6)).eval()


def dark(n, seed):
    """Nearly black images, all of class 0."""
    images = 0.02 * torch.rand((n, 1, 6, 6), generator=generator(seed))
    return Dataset("dark", images, torch.zeros(n, dtype=torch.long), ("0", "1"))


def test_a_changed_pixel_is_among_the_outlying_ones():
    images = dark(20, 1).images.clone()
    places = torch.arange(20) + 8
    images.flatten(1)[torch.arange(20), places] = 1.0
    for image, place in zip(images, places.tolist(), strict=True):
        medians = neighbour_medians(image)
        assert outlying(image, medians, 1).tolist() == [place]
        assert outlying(image, medians, None).tolist() == list(range(36))
        assert outlying(image, medians, 99).tolist() == list(range(36))


def test_few_repairs_say_what_all_say_about_a_changed_pixel():
    model, clean = network(), dark(40, 2)
    attacked = clean.images.clone()
    attacked.flatten(1)[:, 30] = 1.0
    assert (model.predict(attacked).argmax(1) == 1).all()
    every, few = (Repair(most=most).fit(model, dark(300, 3), None, generator()) for most in (None, 3))
    one, other = every(model, attacked), few(model, attacked)
    assert torch.equal(one.score, other.score)
    assert torch.equal(one.located, other.located)
    assert (other.located == 30).all()
    assert other.alarm.all()
    assert (few(model, clean.images).score <= every(model, clean.images).score + 1e-6).all()


def test_a_threshold_is_set_again_on_other_images():
    model = network()
    guard = Repair(most=3).fit(model, dark(300, 3), None, generator())
    again = guard.calibrated(model, dark(100, 4), rate=0.1)
    assert len(again.calibration.scores) == 100
    assert float(again(model, dark(400, 5).images).alarm.float().mean()) == pytest.approx(0.1, abs=0.08)
    other = network()
    with torch.no_grad():
        other.net[1].bias.add_(1)
    with pytest.raises(BadInput, match="fitted on"):
        guard.calibrated(other, dark(100, 4))


def test_the_surrogate_is_the_score_and_can_be_followed():
    model, images = network(), dark(8, 6).images.clone()
    images.flatten(1)[:, 30] = 1.0
    guard = Repair(most=3).fit(model, dark(300, 3), None, generator())
    x = images.clone().requires_grad_()
    score = surrogate(guard)(model, x)
    assert torch.allclose(score, guard(model, images).score, atol=1e-5)
    (slope,) = torch.autograd.grad(score.sum(), x)
    assert slope.abs().sum() > 0
    assert (slope.flatten(1)[:, 30] == 0).all()  # the repaired pixel's own value no longer matters


def test_a_known_repair_is_evaded_by_many_small_changes():
    model = network()
    guard = Repair(most=3).fit(model, dark(300, 3), None, generator())
    known = adapt(guard, model, dark(6, 7), eps=0.2, steps=20, weights=(1.0,))
    assert known.lost.hits > 0


def test_settings_that_cannot_be_right():
    with pytest.raises(BadInput, match="most must lie in 1"):
        Repair(most=0)


def test_one_pixel_hides_where_it_sticks_out_less_than_what_is_repaired():
    """Black on the left, with three loud pixels of no weight; grey on the right, where one pixel counts a little."""
    image = torch.zeros(1, 8, 8)
    image[:, :, 4:] = 0.5
    image[0, [1, 4, 6], [0, 2, 1]] = 0.8
    weight = torch.zeros(8, 8)
    weight[:, :3] = 3.0
    weight[[1, 4, 6], [0, 2, 1]] = 0.0
    weight[4, 6] = 2.4
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 2))
    with torch.no_grad():
        net[1].weight.copy_(torch.stack([torch.zeros(64), weight.flatten()]))
        net[1].bias.copy_(torch.tensor([0.0, -2.2]))
    model = models.wrap(net, classes=2, input_shape=(1, 8, 8)).eval()
    noisy = image + 0.01 * torch.rand((40, 1, 8, 8), generator=generator())
    clean = Dataset("halves", noisy, torch.zeros(40, dtype=torch.long), ("0", "1"))
    guard = Repair(rate=None, most=3).fit(model, clean, None, generator())
    found = evade(guard, model, image[None], clean.labels[:1])
    assert (found.images[0] != image).any(0).nonzero().tolist() == [[4, 6]]
    assert found.unseen.all()
    every = Repair(rate=None).fit(model, clean, None, generator())
    assert not evade(every, model, image[None], clean.labels[:1]).unseen.any()
