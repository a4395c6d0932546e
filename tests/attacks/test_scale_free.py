"""Directions and planes do not depend on a gradient's scale, and no search asks about what is no image."""

import pytest
import torch
from attack_toys import linear

from pixelproof import lp
from pixelproof.attacks import SPSA, mount

GRADIENT = torch.randn(3, 1, 4, 4, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("power", [-110, -40, 40, 110])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_direction_is_the_same_at_any_scale(norm, power):
    assert torch.equal(lp.ascent(GRADIENT * 2.0**power, norm), lp.ascent(GRADIENT, norm))
    assert torch.equal(lp.unit(GRADIENT * 2.0**power, "l1"), lp.unit(GRADIENT, "l1"))
    assert not lp.unit(torch.zeros_like(GRADIENT), norm).any()


@pytest.mark.parametrize("power", [-40, 40])
@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_a_plane_is_the_same_at_any_scale(norm, power):
    images, gap = torch.full_like(GRADIENT, 0.5), torch.tensor([0.3, -0.2, 0.1])
    moved = lp.onto_plane(images, GRADIENT * 2.0**power, gap * 2.0**power, norm)
    torch.testing.assert_close(moved, lp.onto_plane(images, GRADIENT, gap, norm))


def test_spsa_asks_about_images_only():
    model, _, data = linear()
    seen = []
    handle = model.register_forward_hook(lambda _module, given, _output: seen.append(given[0].detach()))
    mount(SPSA(1.0, steps=4, pairs=2, delta=0.4, rate=0.3), model, data)
    handle.remove()
    assert min(float(images.min()) for images in seen) >= 0
    assert max(float(images.max()) for images in seen) <= 1
