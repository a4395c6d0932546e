"""Detection by repair: what is replaced, what is said, and attacks that know it."""

import warnings

import pytest
import torch
from torch import nn

from pixelproof import models
from pixelproof.data import Dataset
from pixelproof.detect import Repair, evade, neighbour_medians, parse
from pixelproof.detect.detectors.repair import warn_of_cost
from pixelproof.errors import BadInput

from .toys import generator

SIZE = 8


def bright(threshold=0.3, weight=1.0):
    """Class 1 when the sum of the pixels is above `threshold`; exact in closed form."""
    dense = nn.Linear(SIZE * SIZE, 2)
    with torch.no_grad():
        dense.weight.copy_(torch.stack([torch.zeros(SIZE * SIZE), torch.full((SIZE * SIZE,), weight)]))
        dense.bias.copy_(torch.tensor([0.0, -threshold * weight]))
    return models.wrap(nn.Sequential(nn.Flatten(), dense), classes=2, input_shape=(1, SIZE, SIZE)).eval()


def dark(n=60, seed=0):
    """Images that are nearly black: class 0."""
    images = 0.002 * torch.rand((n, 1, SIZE, SIZE), generator=generator(seed))
    return Dataset("dark", images, torch.zeros(n, dtype=torch.long), ("0", "1"))


def guard_of(model, **settings):
    return Repair(**settings).fit(model, dark(200, 9), None, generator())


def test_the_median_leaves_the_pixel_itself_out_and_uses_what_neighbours_there_are():
    image = torch.arange(9.0).view(1, 3, 3) / 10
    medians = neighbour_medians(image)[:, 0]
    assert float(medians[4]) == pytest.approx(0.3)  # of 0 1 2 3 5 6 7 8, the lower of the two in the middle
    assert float(medians[0]) == pytest.approx(0.3)  # of 1 3 4
    assert float(medians[1]) == pytest.approx(0.3)  # of 0 2 3 4 5
    assert neighbour_medians(torch.full((3, 1, 1), 0.5)).tolist() == [[0.5, 0.5, 0.5]]


def test_a_changed_pixel_is_noticed_located_and_its_class_brought_back():
    model, clean = bright(), dark()
    attacked = clean.images.clone()
    places = torch.arange(60) % (SIZE * SIZE)
    attacked.flatten(1)[torch.arange(60), places] = 1.0
    assert (model.predict(attacked).argmax(1) == 1).all()
    guard = guard_of(model, rate=None)
    verdict = guard(model, attacked)
    assert verdict.alarm.all()
    assert torch.equal(verdict.located, places)
    assert (verdict.recovered == 0).all()
    quiet = guard(model, clean.images)
    assert not quiet.alarm.any()
    assert (quiet.located == -1).all()
    assert (quiet.recovered == -1).all()
    assert (verdict.p_value < quiet.p_value.min()).all()


def test_the_score_is_the_smallest_margin_that_any_repair_leaves():
    model, image = bright(), dark(1).images
    image[0, 0, 3, 4] = 1.0
    total, medians = image.sum(), neighbour_medians(image[0])[:, 0]
    margins = (total - image.flatten() + medians - 0.3).abs() * (total - image.flatten() + medians - 0.3).sign()
    found = guard_of(model, rate=None)(model, image)
    assert float(found.score[0]) == pytest.approx(-float(margins.min()), abs=1e-5)


def test_with_a_rate_the_threshold_comes_from_clean_images():
    model = bright()
    guard = guard_of(model, rate=0.1)
    verdict = guard(model, dark(300, 4).images)
    assert 0 < verdict.alarm.float().mean() < 0.25
    assert verdict.threshold < 0


def test_one_pixel_cannot_hide_where_its_repair_brings_the_label_back_and_two_can():
    model, clean = bright(), dark(6)
    guard = guard_of(model, rate=None)
    one, two = (evade(guard, model, clean.images, clean.labels, pixels=k) for k in (1, 2))
    assert one.fooled.all()
    assert not one.unseen.any()
    assert two.unseen.all()
    assert (two.images != clean.images).any(1).flatten(1).sum(1).max() == 2
    assert torch.equal(model.predict(two.images).argmax(1) != clean.labels, two.fooled)
    assert not guard(model, two.images).alarm.any()


def test_one_pixel_hides_where_the_median_is_wrong_too():
    """A dark pixel among bright neighbours, which the model needs dark: its repair fools the model by itself."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(SIZE * SIZE, 2))
    with torch.no_grad():
        net[1].weight.zero_()
        net[1].weight[1, 27] = 4.0
        net[1].bias.copy_(torch.tensor([0.0, -1.0]))
    model = models.wrap(net, classes=2, input_shape=(1, SIZE, SIZE)).eval()
    image = torch.full((1, 1, SIZE, SIZE), 0.9)
    image[0, 0, 3, 3] = 0.0
    images = image.repeat(40, 1, 1, 1) * torch.linspace(0.99, 1, 40).view(-1, 1, 1, 1)
    guard = Repair(rate=None).fit(
        model, Dataset("x", images, torch.zeros(40, dtype=torch.long), ("0", "1")), None, generator()
    )
    found = evade(guard, model, images[:1], torch.tensor([0]))
    assert found.unseen.all()


def test_images_that_cannot_be_attacked_are_returned_as_they_are():
    model, clean = bright(threshold=50.0), dark(3)
    found = evade(guard_of(model), model, clean.images, clean.labels)
    assert not found.fooled.any()
    assert not found.unseen.any()
    assert torch.equal(found.images, clean.images)


def test_bad_settings_images_and_models_are_refused():
    model, clean = bright(), dark()
    guard = guard_of(model)
    with pytest.raises(BadInput, match="calibrate"):
        Repair(calibrate=0)
    with pytest.raises(BadInput, match="pixels must be 1 or 2"):
        evade(guard, model, clean.images, clean.labels, pixels=3)
    with pytest.raises(BadInput, match=r"lie in \[0, 1\]"):
        guard(model, clean.images + 2)
    with pytest.raises(BadInput, match="fitted on"):
        guard(bright(0.5), clean.images)
    assert parse("repair:rate=none") == Repair(rate=None)


def test_what_many_pixels_cost_is_said_before_the_work():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_cost(400, 32 * 32)
        warn_of_cost(400, 256)
    with pytest.warns(UserWarning, match=r"each of 50176 pixels .* repair:most=256"):
        warn_of_cost(400, 224 * 224)


class Attending(nn.Module):
    """A class token before the patches and a transformer over both."""

    def __init__(self):
        super().__init__()
        self.patch, self.token = nn.Conv2d(1, 8, 4, 4), nn.Parameter(torch.zeros(1, 1, 8))
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.mixing, self.head = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False), nn.Linear(8, 2)

    def forward(self, images):
        patches = self.patch(images).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(images.size(0), -1, -1), patches], 1)
        return self.head(self.mixing(tokens)[:, 0])


def test_a_network_that_has_no_incremental_form_is_repaired_by_full_passes():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = models.wrap(Attending().eval(), classes=2, input_shape=(1, SIZE, SIZE)).eval()
    images = dark(200).images
    data = Dataset("dark", images, model.predict(images).argmax(1), ("0", "1"))
    verdict = Repair(rate=None).fit(model, data, None, generator())(model, images[:3])
    assert len(verdict.alarm) == 3
