"""Following an attack gives the image that mounting it gives, and everything on the way."""

import pytest
import torch

from pixelproof import attacks, models
from pixelproof.attacks import DeepFool, mount
from pixelproof.attacks.follow import follow
from pixelproof.attacks.pixel import OnePixel
from pixelproof.attacks.pixel.stepwise import stepwise
from pixelproof.data import load
from pixelproof.errors import BadInput, BrokenPromise
from pixelproof.types import Goal


@pytest.fixture(scope="module")
def model():
    return models.load("mlp", data=load("digits"), training=models.Training(epochs=4, batch=64))


@pytest.fixture(scope="module")
def image(model):
    """One correctly classified image of file position 0, as mounting keys its random numbers."""
    test = load("digits", "test")
    right = test[model.predict(test.images).argmax(1) == test.labels][:1]
    return type(right)(right.name, right.images, right.labels, right.classes, torch.tensor([0]))


@pytest.mark.parametrize(
    "spec", ["fgsm:eps=0.1", "pgd:eps=0.1,steps=6", "square:eps=0.2,queries=40", "sign-noise:eps=0.1"]
)
def test_the_followed_image_is_the_mounted_one(model, image, spec):
    attack = attacks.parse(spec)
    seen = []

    def listener(images, logits):
        seen.append((images, logits))

    found = follow(attack, model, image.images, Goal(image.labels), seed=3, listener=listener)
    assert torch.equal(found, mount(attack, model, image, seed=3).images)
    for images, logits in seen:
        assert torch.allclose(model.predict(images), logits, atol=0.05)  # gradients may be taken in bfloat16
    assert not model.net._forward_hooks and not model._forward_hooks  # noqa: PT018


def test_what_the_listener_raises_ends_the_attack(model, image):
    class Enough(Exception):
        pass

    passes = []

    def listener(images, logits):
        passes.append(1)
        if len(passes) == 3:
            raise Enough

    with pytest.raises(Enough):
        follow(attacks.parse("pgd:eps=0.01,steps=50"), model, image.images, Goal(image.labels), listener=listener)
    assert len(passes) == 3
    assert not model._forward_hooks
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_a_broken_budget_is_not_passed_on(model, image):
    class Liar(DeepFool):
        def __call__(self, model, images, goal, rng):
            return 1 - images

    with pytest.raises(BrokenPromise):
        follow(Liar(eps=0.1), model, image.images, Goal(image.labels), listener=lambda *_: None)


def test_stepwise_ends_where_the_complete_search_ends(model, image):
    glimpses = list(stepwise(model, image.images, Goal(image.labels), portion=10))
    whole = OnePixel(sweep="always").search(model, image.images, Goal(image.labels))
    assert [glimpse.tried for glimpse in glimpses] == [10, 20, 30, 40, 50, 60, 64]
    last = glimpses[-1]
    assert torch.equal(last.lowest < 0, whole.vulnerable[0])
    assert last.margin == pytest.approx(float(whole.margin[0]), abs=1e-4)
    assert last.margin == pytest.approx(min(float(last.lowest.min()), glimpses[0].margin), abs=1e-4)
    tried = [int(torch.isfinite(glimpse.lowest).sum()) for glimpse in glimpses]
    assert tried == [glimpse.tried for glimpse in glimpses]
    assert int((last.image != image.images[0]).any(0).sum()) <= 1


def test_stepwise_refuses_bad_settings(model, image):
    with pytest.raises(BadInput, match="portion"):
        next(stepwise(model, image.images, Goal(image.labels), portion=0))
    with pytest.raises(BadInput, match="Divide by 255"):
        next(stepwise(model, 255 * image.images, Goal(image.labels)))
