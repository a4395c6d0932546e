"""A first look at a model: clean, under FGSM and under PGD, which is no proof and no strong evaluation."""

from __future__ import annotations

from pixelproof import attacks
from pixelproof.attacks.stochastic import expect
from pixelproof.data import Dataset
from pixelproof.models import Classifier
from pixelproof.results.defended import FirstLook
from pixelproof.types import Rate

STEPS = 40  # of PGD
DRAWS = 10  # passes over which a random model is attacked


def first_look(model: Classifier, test: Dataset, eps: float, *, seed: int = 0) -> FirstLook:
    """Accuracy on all test images; random models are attacked in expectation."""
    right = model.predict(test.images).argmax(1) == test.labels
    target = expect(model, DRAWS) if model.card.stochastic else model

    def standing(attack: attacks.Attack) -> Rate:
        held = int((~attacks.mount(attack, target, test, seed=seed).success).sum()) if right.any() else 0
        return Rate(held, len(test))

    clean = Rate(int(right.sum()), len(test))
    return FirstLook(clean, standing(attacks.FGSM(eps)), standing(attacks.PGD(eps, steps=STEPS)))
