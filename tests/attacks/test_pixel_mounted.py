"""Pixel attacks go through the harness like any other: it selects, counts, verifies and judges."""

import pytest
import torch
from attack_toys import digits_net

from pixelproof.attacks import FewPixel, OnePixel, OnePixelDE, mount
from pixelproof.attacks.pixel.search import BEFORE

PIXELS = 64


def test_every_candidate_of_a_sweep_is_counted_as_a_pass():
    model, test = digits_net()
    found = mount(OnePixel(ranked=4), model, test[:30])
    ranked, swept = 4 * 2, (PIXELS - 4) * 2
    assert set(found.forwards.tolist()) == {BEFORE + 1 + ranked, BEFORE + 1 + ranked + swept}
    assert (found.backwards == 1).all()
    assert (found.first_break[found.success] > BEFORE).all()
    assert (found.first_break <= found.forwards).all()
    assert (found.first_break[~found.success] == -1).all()


def test_the_first_break_is_the_first_candidate_that_fools():
    model, test = digits_net()
    attack = OnePixel(ranked=0, sweep="always")
    found = mount(attack, model, test[:30])
    row = int(found.success.nonzero()[0, 0])
    batch = found.clean[row].repeat(2 * PIXELS, 1, 1, 1)
    for place in range(PIXELS):
        batch[2 * place : 2 * place + 2, 0, place // 8, place % 8] = torch.tensor([0.0, 1.0])
    wrong = model.predict(batch).argmax(1) != found.labels[row]
    assert int(found.first_break[row]) == BEFORE + int(wrong.long().argmax()) + 1


def test_every_member_of_every_generation_is_counted():
    model, test = digits_net()
    found = mount(OnePixelDE(population=20, iterations=3), model, test[:30])
    assert set(found.forwards.tolist()) <= {20, 40, 60, 80}
    assert (found.forwards[~found.success] == 80).all()
    assert not found.backwards.any()
    assert torch.equal(found.first_break >= 0, found.success)


def test_few_pixels_pay_for_the_greedy_steps_and_for_every_query():
    model, test = digits_net()
    found = mount(FewPixel(k=2, queries=50, ranked=4), model, test[:30])
    greedy = 2 * (BEFORE + 1 + 8)
    assert (found.forwards[~found.success] == greedy + 1 + 50).all()
    assert (found.forwards <= greedy + 1 + 50).all()


@pytest.mark.parametrize("attack", [OnePixel(), OnePixelDE(population=40, iterations=3), FewPixel(k=2, queries=50)])
def test_a_mounted_pixel_attack_keeps_its_budget_and_is_judged(attack):
    model, test = digits_net()
    found = mount(attack, model, test[:20])
    assert (found.distance["l0"] <= attack.eps).all()
    assert torch.equal(found.success, model.predict(found.images).argmax(1) != found.labels)
