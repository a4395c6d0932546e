"""SPSA counts its passes and finds the closed form's neighbourhood; transfer never asks the model it is judged on."""

import torch
from linear_nets import linear, smallest

from pixelproof import attacks, models
from pixelproof.attacks import FGSM, SPSA
from pixelproof.attacks.blackbox import transfer


def test_spsa_breaks_what_twice_the_distance_allows_and_nothing_below_it():
    model, data = linear(1, classes=2, n=5)
    for row, distance in enumerate(smallest(model, data, "linf").tolist()):
        near, below = SPSA(2 * distance, steps=40, rate=distance / 4), SPSA(0.999 * distance, steps=10)
        assert attacks.mount(near, model, data[row]).success.all()
        assert not attacks.mount(below, model, data[row]).success.any()


def test_spsa_spends_its_passes_and_no_gradient():
    model, data = linear(0)
    found = attacks.mount(SPSA(1e-6, steps=3, pairs=4), model, data)
    assert (found.forwards == 3 * (2 * 4 + 1)).all()
    assert (found.backwards == 0).all()


def test_transfer_judges_on_the_model_and_searches_on_the_surrogate():
    model, data = linear(0)
    same = transfer(FGSM(0.1), model, model, data)
    assert torch.equal(same.images, attacks.mount(FGSM(0.1), model, data).images)
    other, _ = linear(7)
    asked = []
    handle = model.register_forward_hook(lambda *_: asked.append(torch.is_grad_enabled()))
    found = transfer(FGSM(0.1), other, model, data)
    handle.remove()
    assert not any(asked)  # the model only ever predicts
    assert torch.equal(found.success, model.predict(found.images).argmax(1) != found.labels)
    assert found.model == model.card.name
    assert isinstance(other, models.Classifier)
