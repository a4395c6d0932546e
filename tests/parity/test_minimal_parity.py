"""Our minimal-norm attacks against foolbox 3.3 on the same weights and images: as near, and as often there."""

import warnings

import pytest
import torch

from pixelproof import data, lp, models
from pixelproof.attacks import CW, DDN, FMN, mount
from pixelproof.models import Training

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # foolbox imports from places that scipy has moved
    import foolbox

CASES = [
    (DDN(100, precision="float32"), lambda: foolbox.attacks.DDNAttack(steps=100)),
    (FMN("l2", 100, precision="float32"), lambda: foolbox.attacks.L2FMNAttack(steps=100)),
    (FMN("linf", 100, precision="float32"), lambda: foolbox.attacks.LInfFMNAttack(steps=100)),
    (FMN("l1", 100, precision="float32"), lambda: foolbox.attacks.L1FMNAttack(steps=100)),
    (CW(300, 4), lambda: foolbox.attacks.L2CarliniWagnerAttack(binary_search_steps=4, steps=300)),
]


@pytest.fixture(scope="module")
def case():
    """An `mlp` trained on the digits, and 60 test images that it gets right."""
    model = models.load("mlp", data=data.load("digits"), training=Training(epochs=8, batch=64))
    test = data.load("digits", "test")
    return model, test[model.predict(test.images).argmax(1) == test.labels].sample(60)


@pytest.mark.parametrize(("ours", "theirs"), CASES, ids=lambda value: getattr(value, "name", ""))
def test_the_median_distance_is_at_most_foolbox_s_and_no_fewer_images_fall(case, ours, theirs):
    model, test = case
    found = mount(ours, model, test)
    wrapped = foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu")
    images = theirs()(wrapped, test.images, test.labels, epsilons=None)[1]
    model.zero_grad(set_to_none=True)
    fooled = model.predict(images).argmax(1) != test.labels
    distance = torch.where(fooled, lp.norm(images - test.images, ours.norm), torch.inf)
    mine = found.minimal(ours.norm)
    assert found.success.sum() >= fooled.sum()
    assert float(mine.median()) <= 1.005 * float(distance.median())
    assert float((mine <= 1.02 * distance).float().mean()) >= 0.9
    both = mine.isfinite() & distance.isfinite()
    assert float((mine / distance)[both].median()) > 0.5  # far below the peer would be a fault of the measure
