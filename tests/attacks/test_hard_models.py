"""Every attack of the table on models that leave it nothing to work with: it ends, says so, and invents nothing."""

from dataclasses import replace

import pytest
import torch
from attack_toys import ALL, linear
from torch import nn

from pixelproof import models, specs
from pixelproof.attacks import mount
from pixelproof.data import Dataset
from pixelproof.errors import BadInput

SMALL = [replace(attack, k=8) if attack.name == "critical" else attack for attack in ALL]  # 16 pixels
every = pytest.mark.parametrize("attack", SMALL, ids=specs.write)
LOW, HIGH = 0.29, 0.71  # the toy's images lie in 0.3..0.7


class Fenced(nn.Module):
    """NaN for every image with a pixel outside the range of the clean ones."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, images):
        strayed = (images.flatten(1).amax(1) > HIGH) | (images.flatten(1).amin(1) < LOW)
        return torch.where(strayed[:, None], float("nan"), self.net(images))


def toy(net, data, n=6):
    """`net` as a four-class classifier of the first toy images, named by what it says of them."""
    model = models.wrap(net, classes=4, input_shape=(1, 4, 4)).eval()
    return model, Dataset("toy", data.images[:n], model(data.images[:n]).argmax(1), data.classes)


@every
def test_a_model_that_answers_nan_is_named(attack):
    plain, _, data = linear(classes=4)
    model, data = toy(plain.net, data, n=20)
    model.net = Fenced(plain.net)
    with pytest.raises(BadInput, match="finite"):
        mount(attack, model, data)


@every
def test_a_model_without_gradient_ends_in_failure(attack):
    plain, _, data = linear(classes=4)
    plain.net[1].weight.data.zero_()
    model, data = toy(plain.net, data)
    found = mount(attack, model, data)
    assert not found.success.any()
    assert torch.isfinite(found.images).all()
    assert found.minimal(attack.norm).isinf().all()


@every
def test_a_target_that_cannot_be_reached_ends_in_failure(attack):
    plain, _, data = linear(classes=4)
    plain.net[1].bias.data[3] -= 1000.0
    model, data = toy(plain.net, data)
    if not attack.targetable:
        with pytest.raises(BadInput):
            mount(attack, model, data, targets=torch.full_like(data.labels, 3))
        return
    found = mount(attack, model, data, targets=torch.full_like(data.labels, 3))
    assert not found.success.any()
    assert torch.isfinite(found.images).all()
