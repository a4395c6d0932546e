"""DeepShap against closed forms, exact Shapley values, shap, and the sixteen architectures."""

from __future__ import annotations

import itertools
import math
import warnings

import pytest
import torch
from architectures import ARCHITECTURES, build, sample
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from untouched import Broken, state

from pixelproof.draws import Draws
from pixelproof.errors import BadInput
from pixelproof.explain import DeepShap
from pixelproof.explain import shapley as engine
from pixelproof.models import NETS, Card, Classifier, wrap
from pixelproof.models.nets import build as build_net

RNG = torch.Generator()
SHAP_IS_RIGHT = (
    "conv-relu-conv-relu-pool, separate modules",
    "conv-pool-relu",
    "separate nn.ReLU + residual",
    "batch-norm (eval) + relu + avg-pool",
    "GELU",
    "torchvision block, separate ReLUs",
)


def net(*layers, shape=(1, 2, 3), classes=3, **settings):
    with torch.random.fork_rng():
        torch.manual_seed(3)
        for layer in layers:
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight)
                nn.init.normal_(layer.bias)
    return wrap(nn.Sequential(nn.Flatten(), *layers), classes=classes, input_shape=shape, **settings)


def images(n, shape=(1, 2, 3), seed=0):
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(seed))


def test_a_linear_network_gives_weight_times_difference():
    model = net(nn.Linear(6, 3), mean=(0.3,), std=(0.5,))
    background, x = images(5, seed=1), images(4)
    found = DeepShap(background)(model, x, torch.tensor([0, 1, 2, 1]), RNG)
    weight = model.net[1].weight[found.classes].view(4, 1, 2, 3) / 0.5
    torch.testing.assert_close(found.values, (weight * (x - background.mean(0))).detach(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found.base, model.predict(background).mean(0)[found.classes])
    assert found.sound.all()


def test_one_relu_unit_shares_its_change_by_weight():
    model = net(nn.Linear(6, 1), nn.ReLU(), nn.Linear(1, 3))
    x, b = images(1), images(1, seed=1)
    first, last = model.net[1], model.net[3]
    before = (first(x.flatten(1)) - first(b.flatten(1))).item()
    after = (first(x.flatten(1)).relu() - first(b.flatten(1)).relu()).item()
    expected = last.weight[2, 0] * (after / before) * first.weight[0] * (x - b).flatten()
    found = DeepShap(b)(model, x, torch.tensor([2]), RNG)
    torch.testing.assert_close(found.values.flatten(), expected.detach(), rtol=1e-5, atol=1e-6)


def exact_shapley(value, players):
    """Shapley values by enumeration over all coalitions."""
    worth = {
        group: value(group) for size in range(players + 1) for group in itertools.combinations(range(players), size)
    }
    result = torch.zeros(players)
    for player in range(players):
        for group in worth:
            if player not in group:
                share = math.factorial(len(group)) * math.factorial(players - len(group) - 1) / math.factorial(players)
                result[player] += share * (worth[tuple(sorted((*group, player)))] - worth[group])
    return result


class Pairwise(nn.Module):
    """Products of two neighbouring pixels, a square and single functions of pixels: DeepLIFT is exact there."""

    def forward(self, x):
        flat = x.flatten(1)
        products = flat[:, 0] * flat[:, 1] + 3 * flat[:, 2] * flat[:, 3]
        single = flat[:, 4].tanh() + (4 * flat[:, 5] - 2).relu() + flat[:, 0] ** 2
        return torch.stack([products, single, products - 2 * single], 1)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_exact_shapley_values_where_the_rule_is_exact(seed):
    model = wrap(Pairwise(), classes=3, input_shape=(1, 2, 3))
    x, background = images(1, seed=seed), images(3, seed=seed + 1)

    def worth(group):
        mixed = background.clone().flatten(1)
        mixed[:, list(group)] = x.flatten(1)[:, list(group)]
        return model.predict(mixed.view_as(background))[:, 2].mean()

    found = DeepShap(background)(model, x, torch.tensor([2]), RNG)
    torch.testing.assert_close(found.values.flatten(), exact_shapley(worth, 6), rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_adds_up(name):
    x, background = sample()
    found = DeepShap(background, chunk=400).all_classes(build(name), x)
    assert found.gap.max() < 1e-5
    assert found.values.abs().mean() > 1e-4


@pytest.mark.parametrize("name", NETS)
def test_the_papers_networks_add_up(name):
    shape = (3, 16, 16)
    model = wrap(build_net(name, shape, 10, 0), classes=10, input_shape=shape, mean=(0.5,) * 3, std=(0.2,) * 3)
    found = DeepShap(images(3, shape, seed=1))(model, images(2, shape), None, RNG)
    assert found.gap.max() < 1e-4  # untrained logits differ by 0.01, a few thousand units in the last place


@pytest.mark.parametrize("name", SHAP_IS_RIGHT)
def test_parity_with_shap(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import shap

        x, background = sample(3, 11)
        peer = shap.DeepExplainer(build(name), background).shap_values(x, check_additivity=False)
    found = DeepShap(background, chunk=7).all_classes(build(name), x)
    assert (torch.tensor(peer).permute(0, 4, 1, 2, 3) - found.values).abs().max() < 1e-5


def test_relu_before_a_pool_is_right_where_captum_is_not():
    import captum.attr

    name = "conv-relu-conv-relu-pool, separate modules"
    x, background = sample(3, 11)
    ours = DeepShap(background)(build(name), x, torch.zeros(3, dtype=torch.long), RNG)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = captum.attr.DeepLiftShap(build(name)).attribute(x, background, target=0).detach()
    moved = build(name).predict(x)[:, 0] - ours.base
    assert ((theirs.flatten(1).sum(1) - moved) / moved).abs().max() > 0.05, "captum was repaired: update the docs"
    assert ours.gap.max() < 1e-5


@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_chunks_and_groups_do_not_change_values(chunk, monkeypatch):
    model, (x, background) = build("overlapping max-pool 3/2/1"), sample(5, 9)
    whole = DeepShap(background).all_classes(model, x)
    monkeypatch.setattr(engine, "GROUP", 4)
    parts = DeepShap(background, chunk=chunk)
    torch.testing.assert_close(parts.all_classes(model, x).values, whole.values, rtol=1e-4, atol=1e-6)
    single = parts(model, x, torch.tensor([0, 9, 3, 3, 1]), RNG)
    chosen = whole.of(single.classes)
    torch.testing.assert_close(single.values, chosen.values, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(single.base, chosen.base)


def test_the_predicted_class_is_the_default_and_draws_are_accepted():
    model, (x, background) = build("GELU"), sample(3, 4)
    found = DeepShap(background)(model, x, None, Draws.keyed(0, torch.arange(3)))
    assert torch.equal(found.classes, model.predict(x).argmax(1))


def test_an_image_among_its_backgrounds_has_finite_values():
    model, (x, _) = build("torchvision block, separate ReLUs"), sample(2)
    found = DeepShap(torch.cat([x, x]))(model, x, None, RNG)
    assert torch.isfinite(found.values).all()
    assert found.gap.max() < 1e-5


def test_pixels_on_which_all_agree_get_nothing():
    x, background = sample(2, 3)
    x[..., :5, :], background[..., :5, :] = 0, 0
    found = DeepShap(background)(build("overlapping max-pool 3/2/1"), x, None, RNG)
    assert not found.values[..., :5, :].any()
    assert found.gap.max() < 1e-5


@pytest.mark.parametrize("after", [99, 2, 1, 0])
def test_the_model_is_untouched_also_after_an_error(after):
    inner = Broken(after)
    model = Classifier(inner, Card("broken", tuple("0123456789"), (1, 16, 16)))
    model.train()
    inner.inner.bn1.eval()
    next(model.parameters()).requires_grad_(False)
    attention = torch.backends.mha.get_fastpath_enabled()
    before = state(model)
    x, background = sample(2, 3)
    if after == 99:
        DeepShap(background)(model, x, None, RNG)
    else:
        with pytest.raises(KeyError):
            DeepShap(background)(model, x, None, RNG)
    *rest, tensors = state(model)
    assert rest == list(before[:-1])
    assert tensors.keys() == before[-1].keys()
    assert all(torch.equal(tensors[name], before[-1][name]) for name in tensors)
    assert torch.backends.mha.get_fastpath_enabled() == attention


@pytest.mark.parametrize(
    ("background", "message"),
    [
        (torch.rand(3, 1, 8, 8), "must have shape"),
        (torch.rand(0, 1, 16, 16), "at least one image"),
        (torch.full((3, 1, 16, 16), 0.5), "real images"),
        (torch.rand(3, 1, 16, 16) * 255, "divide by 255"),
    ],
)
def test_bad_backgrounds(background, message):
    x, _ = sample(2)
    with pytest.raises(BadInput, match=f"(?i){message}"):
        DeepShap(background)(build("GELU"), x, None, RNG)


@pytest.mark.parametrize("classes", [torch.tensor([0, 10]), torch.tensor([-1, 0])])
def test_bad_classes(classes):
    x, background = sample(2, 3)
    with pytest.raises(BadInput):
        DeepShap(background)(build("GELU"), x, classes, RNG)


def test_bad_chunk():
    with pytest.raises(BadInput, match="chunk"):
        DeepShap(sample()[1], chunk=0)
