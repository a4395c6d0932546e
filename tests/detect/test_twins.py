"""Clean images and their adversarial twins must be told apart by name before they are split."""

import pytest
import torch

from pixelproof import attacks, data, models
from pixelproof.attacks import FGSM
from pixelproof.data import Dataset
from pixelproof.detect import SignatureDetector
from pixelproof.errors import BadInput


def test_attacked_images_of_another_set_are_refused():
    images = data.load("digits", "test").sample(60)
    model = models.load("mlp", data=data.load("digits"), training=models.Training(epochs=2, batch=32))
    attacked = attacks.mount(FGSM(0.2), model, images)
    other = Dataset("others", images.pixels, images.labels, images.classes, images.index, images.split)
    with pytest.raises(BadInput, match="must come from others"):
        SignatureDetector().fit(model, other, attacked, torch.Generator().manual_seed(0))
