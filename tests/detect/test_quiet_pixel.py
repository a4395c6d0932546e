"""The pixel that a guard overlooks: against a loop over every candidate, and on guards whose answer is known."""

import pytest
import torch
from torch import nn

from pixelproof import models
from pixelproof.attacks import mount
from pixelproof.data import Dataset
from pixelproof.detect import Calibration, ScoreGuard
from pixelproof.detect.adaptive.quiet_pixel import QuietPixel, Watchman, adapt_pixel, painted
from pixelproof.detect.guards.guard import SameModel
from pixelproof.errors import BadInput


def corner(model, images):
    """A score that rises with the top left pixel: a guard that watches one place."""
    return images[:, 0, 0, 0]


@pytest.fixture
def subject():
    """A linear network on 2 x 2 grey images: the sum of the pixels against a constant."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    with torch.no_grad():
        net[1].weight.copy_(torch.tensor([[0.0] * 4, [1.0, 1.01, 1.02, 0.1]]))
        net[1].bias.copy_(torch.tensor([1.0, 0.0]))
    model = models.wrap(net, classes=2, input_shape=(1, 2, 2)).eval()
    images = torch.tensor([[0.2, 0.2, 0.2, 0.2], [0.0, 0.0, 0.0, 0.0], [0.1, 0.2, 0.0, 0.5]]).view(3, 1, 2, 2)
    calibration = Calibration(torch.linspace(0, 0.3, 40), 0.05)
    guard = ScoreGuard("corner", corner, calibration, SameModel(model))
    return model, Dataset("four", images, torch.zeros(3, dtype=torch.long), ("a", "b")), guard


def test_the_quietest_of_all_fooling_pixels_is_chosen(subject):
    model, data, guard = subject
    found = mount(QuietPixel(Watchman(guard, "corner"), ranked=4), model, data)
    for row, image in enumerate(found.clean):
        every = painted(image, torch.arange(4), torch.tensor([[0.0], [1.0]]))
        fooling = every[model(every).argmax(1) == 1]
        assert bool(found.success[row]) == bool(len(fooling))
        if len(fooling):
            assert corner(model, found.images[row : row + 1]) == corner(model, fooling).min()
        else:
            assert torch.equal(found.images[row], image)
    assert found.attack.startswith("quiet-pixel:target=corner")
    assert (found.forwards == 9).all()


def test_a_guard_that_watches_one_place_is_evaded_elsewhere(subject):
    model, data, guard = subject
    known = adapt_pixel(guard, model, data, detector="corner", ranked=4)
    assert known.attacks == ("quietest pixel",)
    assert known.lost.hits == int(known.sets[0].success.sum()) > 0
    blind = mount(QuietPixel(Watchman(guard, "corner"), ranked=1), model, data)
    assert int(blind.success.sum()) <= int(known.sets[0].success.sum())


def test_settings_that_cannot_be_right(subject):
    with pytest.raises(BadInput, match="ranked"):
        QuietPixel(Watchman(subject[2], "corner"), ranked=0)
