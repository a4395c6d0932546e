"""Everything a user can get wrong with pixel attacks and certificates is one clear error, or is reported."""

import pytest
import torch

from pixel_nets import Noisy, classifier, make, random_images
from pixelproof import models
from pixelproof.attacks import FewPixel, OnePixel, OnePixelDE, mount
from pixelproof.data import Dataset, load
from pixelproof.errors import BadInput
from pixelproof.prove import certify_one_pixel
from pixelproof.types import Goal

IMAGES = random_images((3, 12, 12), 4, seed=2)
ATTACKS = [OnePixel(ranked=2, sweep="never"), OnePixelDE(8, 1), FewPixel(2, 4, 2)]
each = pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)


def prepared():
    model = make("plain", seed=3)
    return model, model.predict(IMAGES).argmax(1)


def call(attack, model, images, labels):
    return attack(model, images, Goal(labels), torch.Generator().manual_seed(0))


@each
def test_images_outside_their_range(attack):
    model, labels = prepared()
    with pytest.raises(BadInput, match=r"images must lie in \[0, 1\]; got max .* Divide by 255 first"):
        call(attack, model, IMAGES * 255, labels)
    with pytest.raises(BadInput, match=r"lie in \[0, 1\]"):
        certify_one_pixel(model, IMAGES * 255, labels, budget=1.0)


@each
def test_a_target_equal_to_the_label(attack):
    model, labels = prepared()
    data = Dataset("x", IMAGES, labels, tuple("abcd"))
    with pytest.raises(BadInput, match="a target must differ from the label"):
        mount(attack, model, data, targets=labels)


@each
def test_dropout_left_on(attack):
    model, labels = prepared()
    with pytest.raises(BadInput, match="must be in evaluation mode"):
        call(attack, model.train(), IMAGES, labels)
    with pytest.raises(BadInput, match="evaluation mode; got training mode"):
        certify_one_pixel(model, IMAGES, labels, budget=1.0)


def test_a_network_that_answers_differently_each_time():
    noisy = classifier(Noisy(), (3, 8, 8))
    with pytest.raises(BadInput, match=r"must be deterministic; got a stochastic one.*proof about one draw"):
        certify_one_pixel(noisy, random_images((3, 8, 8), 1), torch.tensor([0]), budget=1.0)


@each
def test_images_and_model_on_different_devices(attack):
    model, labels = prepared()
    with pytest.raises(BadInput, match=r"images must be on the model's device \(meta\); got cpu"):
        call(attack, model.to("meta"), IMAGES, labels)


def test_a_certificate_of_a_model_that_is_not_on_the_processor():
    model, labels = prepared()
    with pytest.raises(BadInput, match="device"):
        certify_one_pixel(model.to("meta"), IMAGES, labels, budget=1.0)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there():
    with pytest.raises(BadInput, match=r"CUDA needs a GPU that torch can see; got none. Use --device cpu"):
        models.load("cnn", data=load("digits", "test"), device="cuda")


@pytest.mark.parametrize("budget", [0.0, -1.0, float("nan")])
def test_a_budget_of_nothing(budget):
    model, labels = prepared()
    with pytest.raises(BadInput, match="budget must be positive CPU seconds"):
        certify_one_pixel(model, IMAGES, labels, budget=budget)


def test_labels_that_are_wrong_already_are_reported_and_not_attacked():
    model, labels = prepared()
    wrong = (labels + 1) % 4
    found = OnePixel().search(model, IMAGES, Goal(wrong))
    assert found.already.all()
    assert not found.candidates.any()
    assert certify_one_pixel(model, IMAGES, wrong, budget=1.0).wrong.all()
    mixed = Dataset("x", IMAGES, torch.where(torch.arange(4) < 2, wrong, labels), tuple("abcd"))
    attacked = mount(OnePixel(ranked=2, sweep="never"), model, mixed)
    assert (len(attacked), attacked.offered) == (2, 4)
