"""The papers' networks: shapes, exact sizes, and the same weights for the same seed."""

import pytest
import torch
from torch import nn

from pixelproof.errors import BadInput
from pixelproof.models.nets import NETS, SMALLEST, build

# Weights and biases counted by hand from the papers' layer lists: 3 x 3 kernels, in x out, plus one bias per output.
CNN = (9 * 32 + 32) + (32 * 9 * 64 + 64) + (64 * 12 * 12 * 128 + 128) + (128 * 10 + 10)
MLP = (784 * 256 + 256) + (256 * 128 + 128) + (128 * 10 + 10)
MASKING = (9 * 32 + 32) + (32 * 9 * 64 + 64) + (64 * 5 * 5 * 128 + 128) + (128 * 10 + 10)
CIFAR_CONVOLUTIONS = (3 * 9 * 32 + 32) + (32 * 9 * 32 + 32) + (32 * 9 * 64 + 64) + (64 * 9 * 64 + 64)
CIFAR = CIFAR_CONVOLUTIONS + (64 * 6 * 6 * 512 + 512) + (512 * 10 + 10)


@pytest.mark.parametrize(
    ("name", "shape", "size"),
    [
        ("cnn", (1, 28, 28), CNN),
        ("mlp", (1, 28, 28), MLP),
        ("masking-cnn", (1, 28, 28), MASKING),
        ("cifar-cnn", (3, 32, 32), CIFAR),
        ("resnet18", (3, 32, 32), 11_173_962),  # the usual count for the 3 x 3 stem and ten classes
    ],
)
def test_networks_have_the_papers_sizes(name, shape, size):
    net = build(name, shape, 10, seed=0)
    assert sum(parameter.numel() for parameter in net.parameters()) == size
    assert net.eval()(torch.rand(2, *shape)).shape == (2, 10)


@pytest.mark.parametrize("name", sorted(NETS))
@pytest.mark.parametrize("shape", [(1, 10, 10), (3, 13, 17), (3, 32, 32)])
def test_networks_take_any_shape(name, shape):
    net = build(name, shape, 7, seed=1).eval()
    logits = net(torch.rand(3, *shape))
    assert logits.shape == (3, 7)
    assert torch.isfinite(logits).all()


@pytest.mark.parametrize("name", sorted(SMALLEST))
def test_images_too_small_for_a_network_are_refused(name):
    side = SMALLEST[name]
    assert build(name, (1, side, side), 3, 0).eval()(torch.rand(1, 1, side, side)).shape == (1, 3)
    with pytest.raises(BadInput, match=f"at least {side} x {side} pixels"):
        build(name, (1, side - 1, side), 3, 0)


def test_layers_come_in_the_papers_order():
    def kinds(name):
        keep = (nn.Conv2d, nn.MaxPool2d, nn.Linear, nn.Dropout)
        return [type(layer).__name__ for layer in build(name, (3, 32, 32), 10, 0) if isinstance(layer, keep)]

    assert kinds("cnn") == ["Conv2d", "Conv2d", "MaxPool2d", "Linear", "Linear"]
    assert kinds("masking-cnn") == ["Conv2d", "MaxPool2d", "Conv2d", "MaxPool2d", "Linear", "Linear"]
    assert kinds("mlp") == ["Linear", "Linear", "Linear"]
    block = ["Conv2d", "Conv2d", "MaxPool2d", "Dropout"]
    assert kinds("cifar-cnn") == [*block, *block, "Linear", "Dropout", "Linear"]


def test_the_seed_decides_the_weights_and_the_global_state_is_left_alone():
    before = torch.random.get_rng_state()
    first, again, other = (build("mlp", (1, 8, 8), 10, seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["fc1.weight"], other["fc1.weight"])
