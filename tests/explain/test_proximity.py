"""Pixels far from 0 and close to it, on a linear network where the effect of replacing pixels is their attribution."""

import pytest
import torch
from torch import nn

from pixelproof.draws import Draws
from pixelproof.errors import BadInput
from pixelproof.explain import DeepShap, proximity
from pixelproof.models import wrap

SIDE, N = 5, 7


@pytest.fixture(scope="module")
def case():
    torch.manual_seed(0)
    model = wrap(nn.Sequential(nn.Flatten(), nn.Linear(SIDE * SIDE, 3)), classes=3, input_shape=(1, SIDE, SIDE))
    images, background = torch.rand(N, 1, SIDE, SIDE), torch.rand(4, 1, SIDE, SIDE)
    images[:, :, 0] = background[:, :, 0] = 0.5  # a row that is the same everywhere
    found = DeepShap(background)(model, images, None, torch.Generator())
    return model, images, background, found


def measured(case, k):
    model, images, background, found = case
    return proximity(model, images, found, background, k=k, draws=Draws.keyed(0, torch.arange(N)))


def test_a_linear_network_moves_by_the_attributions_of_the_pixels_replaced(case):
    found, value = measured(case, 4), case[3].values.flatten(1)[:, SIDE:]
    ordered = value.sort(1).values
    size = value.gather(1, value.abs().argsort(1))
    wanted = {
        "far from 0": -size[:, -4:].sum(1),
        "far above 0": -ordered[:, -4:].sum(1),
        "far below 0": -ordered[:, :4].sum(1),
        "close to 0": -size[:, :4].sum(1),
    }
    got = dict(zip(found.groups, found.change, strict=True))
    for group, change in wanted.items():
        torch.testing.assert_close(got[group], change, atol=1e-5, rtol=1e-4)
    assert got["close to 0"].abs().mean() < got["random"].abs().mean() < got["far above 0"].abs().mean()


def test_with_every_pixel_replaced_each_group_ends_at_the_background(case):
    model, images, background, found = case
    ends = model.predict(background)
    every = measured(case, SIDE * SIDE)
    for change, relabelled in zip(every.change, every.relabelled, strict=True):
        torch.testing.assert_close(change, -(found.values.flatten(1).sum(1)), atol=1e-5, rtol=1e-4)
        others = (ends.argmax(1)[None] != model.predict(images).argmax(1)[:, None]).float().mean(1)
        torch.testing.assert_close(relabelled, others)


@pytest.mark.parametrize("k", [0, SIDE * SIDE + 1])
def test_k_must_fit_the_image(case, k):
    with pytest.raises(BadInput, match=r"1\.\.25"):
        measured(case, k)
