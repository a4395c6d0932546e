"""Pixel attacks go through the harness like any other: it selects, verifies and judges."""

import pytest
import torch
from attack_toys import digits_net

from pixelproof.attacks import mount
from pixelproof.attacks.pixel import FewPixel, OnePixel, OnePixelDE


@pytest.mark.parametrize("attack", [OnePixel(), OnePixelDE(population=40, iterations=3), FewPixel(k=2, queries=50)])
def test_a_mounted_pixel_attack_keeps_its_budget_and_is_judged(attack):
    model, test = digits_net()
    found = mount(attack, model, test[:20])
    assert (found.distance["l0"] <= attack.eps).all()
    assert torch.equal(found.success, model.predict(found.images).argmax(1) != found.labels)
