"""Directions and planes do not depend on a gradient's scale, and no search asks about what is no image."""

import pytest
import torch
from attack_toys import linear
from torch import nn

from pixelproof import lp
from pixelproof.attacks import SPSA, mount, parse
from pixelproof.data import Dataset
from pixelproof.models import wrap

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


class Excluding(nn.Module):
    """Three classes of a dense layer, and two that are never to be predicted."""

    def __init__(self, never):
        super().__init__()
        torch.manual_seed(0)
        self.fc, self.never = nn.Linear(64, 3), never

    def forward(self, x):
        logits = 3 * self.fc(x.flatten(1))
        return torch.cat([logits, torch.full((len(x), 2), self.never)], 1)


@pytest.mark.parametrize("spec", ["deepfool", "cw:steps=100", "fmn", "ddn", "pgd:eps=0.1,steps=5,precision=bf16"])
@pytest.mark.parametrize("never", [-1e4, -1e9, -1e30, torch.finfo(torch.float32).min])
def test_classes_that_are_put_out_of_reach_cost_no_attack_its_success(spec, never):
    found = []
    for value in (-100.0, never):
        model = wrap(Excluding(value).eval(), classes=5, input_shape=(1, 8, 8))
        images = 0.3 + 0.4 * torch.rand((12, 1, 8, 8), generator=torch.Generator().manual_seed(0))
        data = Dataset("toy", images, model.predict(images).argmax(1), model.card.classes)
        found.append(mount(parse(spec), model, data))
    assert found[0].success.float().mean() > 0.8
    assert torch.equal(found[0].success, found[1].success)
    torch.testing.assert_close(found[0].distance["l2"], found[1].distance["l2"], rtol=0.02, atol=1e-3)
