"""A search without a budget gives the same at every eps whether it is run once or once per eps."""

import torch

from pixelproof import attacks, data, models
from pixelproof.attacks import DeepFool


def test_one_deepfool_search_answers_for_every_budget():
    images = data.load("digits", "test").sample(40)
    model = models.load("mlp", data=data.load("digits"), training=models.Training(epochs=3, batch=32))
    budgets = [0.05, 0.2, 0.1]
    together = attacks.sweep(DeepFool(), model, images, budgets, independent=True)
    for eps, found in zip(budgets, together, strict=True):
        alone = attacks.mount(DeepFool(eps=eps), model, images)
        assert found.attack == alone.attack
        assert torch.equal(found.success, alone.success)
        assert torch.allclose(found.images, alone.images, atol=1e-6)
    assert any(found.success.any() for found in together)
