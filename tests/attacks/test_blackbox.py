"""SPSA counts its passes and finds the closed form's neighbourhood; transfer never asks the model it is judged on."""

import torch
from linear_nets import linear, smallest
from torch import nn

from pixelproof import attacks, models
from pixelproof.attacks import FGSM, PGD, SPSA
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
    model.register_forward_hook(lambda *_: asked.append(torch.is_grad_enabled()))

    def finding(attack):
        asked.clear()
        found = transfer(attack, other, model, data)
        assert not any(asked)
        return found, len(asked)

    found, few = finding(PGD(1e-4, steps=2))
    assert finding(PGD(1e-4, steps=50))[1] == few > 0  # asked before and after the search, and never during it
    assert torch.equal(found.success, model.predict(found.images).argmax(1) != found.labels)
    assert found.model == model.card.name


def test_a_random_surrogate_is_attacked_in_expectation_from_the_seed():
    class Noise(nn.Module):
        def forward(self, x):
            return x + 0.1 * torch.randn_like(x)

    model, data = linear(0, n=6)
    random = models.wrap(nn.Sequential(Noise(), model.net), classes=5, input_shape=(1, 4, 4)).eval()
    asked, attack = [], PGD(0.05, steps=3, precision="float32")
    state = torch.get_rng_state()
    handle = random.register_forward_hook(lambda _module, given, _output: asked.append(len(given[0])))
    found, again = (transfer(attack, random, model, data, seed=seed) for seed in (1, 1))
    handle.remove()
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(found.images, again.images)
    assert max(asked) == 20 * len(data)  # the mean of twenty draws is what is attacked
    assert (found.backwards >= 3).all()
    assert found.rate is None
