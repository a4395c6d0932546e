"""What every explainer promises, and the closed forms of the simple ones."""

from __future__ import annotations

import pytest
import torch
from architectures import build, sample
from torch import nn
from untouched import Broken, state

from pixelproof.draws import Draws
from pixelproof.errors import BadInput
from pixelproof.explain import (
    EXPLAINERS,
    DeepShap,
    ExpectedGradients,
    InputGradient,
    IntegratedGradients,
    Occlusion,
)
from pixelproof.models import wrap

IMAGES, BACKGROUND = sample(4, 6)
MADE = {
    name: maker(BACKGROUND) if name in ("deep-shap", "expected-gradients") else maker()
    for name, maker in EXPLAINERS.items()
}


def linear():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layer = nn.Linear(256, 10)
    return wrap(nn.Sequential(nn.Flatten(), layer), classes=10, input_shape=(1, 16, 16)), layer.weight.detach()


@pytest.mark.parametrize("name", MADE)
def test_contract(name):
    model, explainer = build("torchvision block (in-place ReLU used three times)"), MADE[name]
    before = state(model)[:-1]
    found = explainer(model, IMAGES, None, torch.Generator().manual_seed(0))
    assert explainer.name == name
    assert found.values.shape == IMAGES.shape
    assert torch.isfinite(found.values).all()
    assert torch.equal(found.classes, model.predict(IMAGES).argmax(1))
    moved = model.predict(IMAGES).gather(1, found.classes[:, None])[:, 0] - found.base
    missing = (found.values.flatten(1).sum(1) - moved).abs()
    assert torch.equal(found.sound, found.gap <= 1e-3)
    assert ((missing < 1e-5) == (found.gap < 1e-4)).all()
    assert state(model)[:-1] == before
    with pytest.raises(BadInput, match=r"0\.\.9"):
        explainer(model, IMAGES, torch.tensor([0, 1, 2, 10]), torch.Generator())
    with pytest.raises(BadInput, match="255"):
        explainer(model, IMAGES * 255, None, torch.Generator())
    with pytest.raises(BadInput, match="at least one"):
        explainer(model, IMAGES[:0], None, torch.Generator())


@pytest.mark.parametrize("name", MADE)
def test_one_image_does_not_change_another(name):
    model = build("GELU")
    draws = [Draws.keyed(3, torch.arange(4)), Draws.keyed(3, torch.tensor([2]))]
    together = MADE[name](model, IMAGES, None, draws[0])
    alone = MADE[name](model, IMAGES[2:3], None, draws[1])
    torch.testing.assert_close(together.values[2:3], alone.values, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", MADE)
def test_the_model_is_untouched_after_an_error(name):
    model = wrap(Broken(99), classes=10, input_shape=(1, 16, 16))
    model.net.after = model.net.calls + 1  # the first pass succeeds, the second one does not
    before = state(model)[:-1]
    with pytest.raises(KeyError):
        MADE[name](model, IMAGES, None, torch.Generator())
    assert state(model)[:-1] == before


def test_a_linear_network_is_explained_alike():
    model, weight = linear()
    classes = torch.tensor([0, 5, 5, 9])
    slope = weight[classes].view(4, 1, 16, 16)
    rng = torch.Generator().manual_seed(0)
    torch.testing.assert_close(InputGradient()(model, IMAGES, classes, rng).values, slope)
    from_black = IntegratedGradients(3)(model, IMAGES, classes, rng)
    torch.testing.assert_close(from_black.values, slope * IMAGES)
    assert from_black.sound.all()
    single = Occlusion(1, 1)(model, IMAGES, classes, rng)
    torch.testing.assert_close(single.values, slope * IMAGES, rtol=1e-3, atol=2e-6)
    expected = ExpectedGradients(BACKGROUND, 3000)(model, IMAGES, classes, rng)
    torch.testing.assert_close(expected.values, slope * (IMAGES - BACKGROUND.mean(0)), rtol=0, atol=2e-3)


def test_more_points_close_the_gap():
    model = build("SiLU")
    rng = torch.Generator().manual_seed(0)
    gaps = [IntegratedGradients(steps)(model, IMAGES, None, rng).gap.max() for steps in (1, 5, 100)]
    assert gaps[0] > gaps[1] > gaps[2]
    assert gaps[2] < 1e-3
    few, many = (ExpectedGradients(BACKGROUND, n)(model, IMAGES, None, rng).gap.mean() for n in (5, 2000))
    assert many < few / 3


def test_expected_gradients_meet_deep_shap_where_both_are_exact():
    model, _ = linear()
    sampled = ExpectedGradients(BACKGROUND, 3000)(model, IMAGES, None, torch.Generator().manual_seed(0))
    exact = DeepShap(BACKGROUND)(model, IMAGES, None, torch.Generator())
    torch.testing.assert_close(sampled.values, exact.values, rtol=0, atol=2e-3)


def test_occlusion_covers_the_edges_and_keeps_the_fall_of_a_square():
    model, weight = linear()
    found = Occlusion(5, 5, fill=0.5)(model, IMAGES[:1], torch.tensor([1]), torch.Generator())
    fall = (weight[1].view(16, 16) * (IMAGES[0, 0] - 0.5))[:5, :5].sum()
    torch.testing.assert_close(found.values[0, 0, :5, :5], (fall / 25).expand(5, 5), rtol=1e-3, atol=1e-6)
    assert (found.values[0, 0, 15] != 0).all()


@pytest.mark.parametrize(
    "make",
    [
        lambda: IntegratedGradients(0),
        lambda: ExpectedGradients(BACKGROUND, 0),
        lambda: ExpectedGradients(torch.zeros(2, 1, 16, 16)),
        lambda: Occlusion(0),
        lambda: Occlusion(4, 5),
        lambda: Occlusion(fill=2.0),
        lambda: Occlusion(17)(build("GELU"), IMAGES, None, torch.Generator()),
        lambda: ExpectedGradients(BACKGROUND[..., :8])(build("GELU"), IMAGES, None, torch.Generator()),
    ],
)
def test_bad_settings(make):
    with pytest.raises(BadInput):
        make()
