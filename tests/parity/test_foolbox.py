"""Our attacks against foolbox 3.3 on the same weights: image by image, the same ones fall."""

import warnings
from dataclasses import replace
from functools import lru_cache

import pytest
import torch

from pixelproof import data, models
from pixelproof.attacks import BIM, FGSM, PGD, DeepFool, Foolbox, mount, sweep
from pixelproof.models import Training
from pixelproof.types import Goal

pytestmark = pytest.mark.slow

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # foolbox imports from places that scipy has moved
    import foolbox

GRID = (0.03, 0.04, 0.05, 0.1, 0.15, 0.2, 0.25)
L2_GRID = (0.2, 0.5, 1.0, 1.5, 2.0)
MISSED = 0.01  # share of images whose last step ends so near the boundary that float32 rounding decides


@lru_cache
def net():
    """A `cnn` trained on the digits, with the test images that it gets right, mounted by nobody."""
    model = models.load("cnn", data=data.load("digits"), training=Training(epochs=8, batch=64))
    test = data.load("digits", "test")
    return model, test[model.predict(test.images).argmax(1) == test.labels]


def peer(attack, images, labels, eps):
    """foolbox's images, with the gradients it leaves in the parameters removed."""
    model, _ = net()
    wrapped = foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu")
    _, clipped, _ = attack(wrapped, images, foolbox.criteria.Misclassification(labels), epsilons=eps)
    model.zero_grad(set_to_none=True)
    return clipped


def agree(ours, theirs):
    """Per-image success, judged by the same forward passes, agrees but for a rounding's worth of images."""
    model, _ = net()
    fooled = model.predict(theirs).argmax(1) != ours.labels
    differing = (fooled != ours.success).float().mean()
    assert float(differing) <= MISSED
    assert abs(float(fooled.float().mean()) - (1 - float(ours.robust_accuracy))) <= MISSED


@pytest.mark.parametrize("eps", GRID)
def test_fgsm(eps):
    model, test = net()
    ours = mount(FGSM(eps), model, test)
    theirs = peer(foolbox.attacks.LinfFastGradientAttack(random_start=False), test.images, test.labels, eps)
    assert torch.equal(model.predict(theirs).argmax(1) != test.labels, ours.success)
    torch.testing.assert_close(ours.images, theirs, atol=1e-6, rtol=0)


@pytest.mark.parametrize("eps", GRID)
def test_bim(eps):
    model, test = net()
    attack = foolbox.attacks.LinfBasicIterativeAttack(rel_stepsize=0.2, steps=10, random_start=False)
    agree(mount(BIM(eps, steps=10), model, test), peer(attack, test.images, test.labels, eps))


@pytest.mark.parametrize("eps", GRID)
def test_pgd_without_random_start(eps):
    model, test = net()
    attack = foolbox.attacks.LinfPGD(rel_stepsize=2.5 / 40, steps=40, random_start=False)
    ours = mount(PGD(eps, steps=40, random_start=False), model, test)
    agree(ours, peer(attack, test.images, test.labels, eps))


@pytest.mark.parametrize("eps", [0.05, 0.2])
def test_attacks_that_do_not_stop_early_end_where_foolbox_ends(eps):
    model, test = net()
    for ours, kind, share in (
        (BIM(eps, steps=10, early_stop=False), foolbox.attacks.LinfBasicIterativeAttack, 0.2),
        (PGD(eps, steps=20, random_start=False, early_stop=False, precision="float32"), foolbox.attacks.LinfPGD, 0.125),
    ):
        found = mount(ours, model, test)
        peers = peer(kind(rel_stepsize=share, steps=ours.steps, random_start=False), test.images, test.labels, eps)
        same = torch.isclose(found.images, peers, atol=1e-4).flatten(1).float().mean(1)
        fooled = found.success & (model.predict(peers).argmax(1) != test.labels)
        assert fooled.any()
        assert float(same[fooled].mean()) > 0.97  # the sign of a gradient near 0 is decided by rounding
        stopped = mount(replace(ours, early_stop=True), model, test)
        assert torch.equal(stopped.success & ~found.success, torch.zeros_like(found.success))
        deep = goal_loss(model, found)[fooled & stopped.success].mean()
        assert deep < goal_loss(model, stopped)[fooled & stopped.success].mean() - 0.2


def goal_loss(model, found):
    return Goal(found.labels).loss(model.predict(found.images))


@pytest.mark.parametrize("eps", L2_GRID)
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (lambda eps: FGSM(eps, norm="l2"), lambda: foolbox.attacks.L2FastGradientAttack(random_start=False)),
        (
            lambda eps: BIM(eps, norm="l2"),
            lambda: foolbox.attacks.L2BasicIterativeAttack(rel_stepsize=0.2, steps=10, random_start=False),
        ),
        (
            lambda eps: PGD(eps, steps=40, norm="l2", random_start=False),
            lambda: foolbox.attacks.L2PGD(rel_stepsize=2.5 / 40, steps=40, random_start=False),
        ),
    ],
    ids=["fgsm", "bim", "pgd"],
)
def test_l2_gradient_attacks(ours, theirs, eps):
    model, test = net()
    agree(mount(ours(eps), model, test), peer(theirs(), test.images, test.labels, eps))


@pytest.mark.parametrize(
    ("norm", "kind", "grid"),
    [("linf", foolbox.attacks.LinfDeepFoolAttack, GRID), ("l2", foolbox.attacks.L2DeepFoolAttack, L2_GRID)],
)
def test_deepfool(norm, kind, grid):
    """The same distance for every image, and the same images fooled once cut back to each budget."""
    model, test = net()
    attack = kind(steps=50, candidates=10, overshoot=0.02)
    ours = mount(DeepFool(norm=norm), model, test)
    theirs = peer(attack, test.images, test.labels, None)
    assert ours.success.all()
    size = (theirs - test.images).flatten(1)
    size = size.abs().amax(1) if norm == "linf" else torch.linalg.vector_norm(size, dim=1)
    near = (ours.distance[norm] - size).abs() <= 1e-3 * size + 1e-4
    assert float(near.float().mean()) >= 1 - MISSED
    torch.testing.assert_close(ours.distance[norm].median(), size.median(), rtol=1e-3, atol=1e-4)
    cut = peer(attack, test.images, test.labels, list(grid))
    for found, images in zip(sweep(DeepFool(norm=norm), model, test, grid, independent=True), cut, strict=True):
        agree(found, images)


def test_the_adapter_is_foolbox_called_by_hand():
    model, test = net()
    ours = mount(Foolbox("LinfFastGradientAttack", 0.1), model, test)
    assert torch.equal(ours.images, mount(Foolbox("LinfFastGradientAttack", 0.1), model, test, batch=50).images)
    theirs = peer(foolbox.attacks.LinfFastGradientAttack(), test.images, test.labels, 0.1)
    torch.testing.assert_close(ours.images, theirs, atol=1e-6, rtol=0)


@pytest.mark.parametrize("attack", ["LinfPGD", "L2PGD", "LinfDeepFoolAttack", "L2AdditiveUniformNoiseAttack"])
def test_attacks_of_foolbox_run_through_the_harness(attack):
    model, test = net()
    norm = "l2" if attack.startswith("L2") else "linf"
    assert Foolbox(attack, 0.1).norm == norm
    found = mount(Foolbox(attack, 0.1), model, test[:40], seed=1)
    assert found.norm == norm
    assert (found.distance[norm] <= 0.1 + 1e-5).all()
    assert torch.equal(found.images, mount(Foolbox(attack, 0.1), model, test[:40], seed=1).images)
    assert all(parameter.grad is None for parameter in model.parameters())
