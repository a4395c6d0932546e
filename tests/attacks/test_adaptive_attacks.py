"""Gradients through steps that have none, attacks on random models, and attacks past a detector."""

import pytest
import torch
from linear_nets import linear
from torch import nn

from pixelproof import attacks, models
from pixelproof.attacks import APGD, FGSM, Auto, MarginPGD
from pixelproof.attacks.adaptive import Alarm, evade, straight_through
from pixelproof.attacks.stochastic import expect, fooling_rates, is_stochastic
from pixelproof.data import Dataset
from pixelproof.errors import BadInput, UnknownName
from pixelproof.types import Goal


class Quantise(nn.Module):
    def forward(self, x):
        return (x * 20).round() / 20


class Noise(nn.Module):
    def forward(self, x):
        return x + 0.1 * torch.randn_like(x)


def before_linear(step: nn.Module) -> tuple[models.Classifier, Dataset]:
    """The linear net with one more module in front, and the images it gets right."""
    model, data = linear(0)
    net = nn.Sequential()
    net.add_module("step", step)
    net.add_module("rest", model.net)
    wrapped = models.wrap(net, classes=5, input_shape=(1, 4, 4)).eval()
    return wrapped, Dataset("before", data.images, wrapped.predict(data.images).argmax(1), data.classes)


def test_a_straight_through_step_lets_gradients_pass_and_leaves_no_hook():
    model, data = before_linear(Quantise())
    assert not attacks.mount(FGSM(0.1), model, data).success.any()
    with straight_through(model, "step"):
        inside = model.predict(data.images)
        assert attacks.mount(FGSM(0.1), model, data).success.float().mean() > 0.8
    assert torch.equal(inside, model.predict(data.images))
    assert not any(part._forward_hooks for part in model.modules())
    with pytest.raises(UnknownName, match="step"), straight_through(model, "stepp"):
        pass
    with pytest.raises(BadInput, match="shape"), straight_through(model, "rest"):
        model.predict(data.images)
    assert not any(part._forward_hooks for part in model.modules())


def test_random_models_are_told_from_fixed_ones():
    random, data = before_linear(Noise())
    fixed, _ = linear(0)
    assert is_stochastic(random, data.images)
    assert not is_stochastic(fixed, data.images)


def test_the_expectation_is_the_mean_of_log_probabilities():
    model, data = before_linear(Noise())
    n = len(data)
    torch.manual_seed(0)
    mean = expect(model, 50)(data.images)
    torch.manual_seed(0)
    passes = model(data.images.repeat(50, 1, 1, 1)).log_softmax(1).view(50, n, -1)
    torch.testing.assert_close(mean, passes.mean(0))
    assert not torch.allclose(mean, passes.exp().mean(0).log(), atol=1e-4), "the mean is of logarithms"
    spread = torch.stack([expect(model, 50).predict(data.images) for _ in range(5)]).std(0)
    single = torch.stack([model.predict(data.images).log_softmax(1) for _ in range(20)]).std(0)
    assert spread.mean() < single.mean() / 3
    assert expect(model, 3).card.stochastic
    with pytest.raises(BadInput):
        expect(model, 0)


def test_success_against_a_random_model_is_a_rate_with_an_interval():
    model, data = before_linear(Noise())
    torch.manual_seed(0)
    rates = fooling_rates(model, data.images, Goal(data.labels), draws=200)
    again = fooling_rates(model, data.images, Goal(data.labels), draws=200)
    assert ((rates.per_image > 0) & (rates.per_image < 1)).any()
    for row in range(len(data)):
        low, high = rates.interval(row)
        assert low <= float(rates.per_image[row]) <= high
    assert (rates.per_image - again.per_image).abs().max() < 0.2
    assert torch.equal(rates.usually, rates.per_image > 0.5)
    assert rates.expected_robust_accuracy == pytest.approx(1 - float(rates.per_image.mean()))


def test_mount_finds_a_random_model_by_itself_and_judges_it_by_many_draws():
    model, data = before_linear(Noise())
    fixed = attacks.mount(APGD(0.05, steps=20), *linear(0))
    assert fixed.rate is None
    assert fixed.expected_robust_accuracy == pytest.approx(float(fixed.robust_accuracy))
    state = torch.random.get_rng_state()
    found, again = (attacks.mount(APGD(0.05, steps=20), model, data, seed=2) for _ in range(2))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(found.rate, again.rate)
    assert torch.equal(found.images, again.images)
    assert torch.equal(found.success, found.rate > 0.5)
    assert ((found.rate > 0) & (found.rate < 1)).any()
    assert found.model == model.card.name
    torch.manual_seed(1)
    rates = fooling_rates(model, found.images, found.goal, draws=400).per_image
    assert (rates - found.rate).abs().max() < 0.2


def bright(images):
    """A detector that any linear attacker can see: the mean brightness."""
    return images.flatten(1).mean(1)


@pytest.mark.parametrize(
    "attack",
    [MarginPGD(0.05, steps=40, targets=4, precision="float32"), APGD(0.05, steps=60, loss="margin", targets=4)],
    ids=lambda a: a.name,
)
def test_an_adaptive_attack_fools_classifier_and_detector_at_once(attack):
    model, data = linear(0, n=40)
    threshold = float(bright(data.images).max()) + 1e-4
    alarm = Alarm(bright, threshold)
    plain = attacks.mount(attack, model, data)
    adaptive = evade(attack, model, data, alarm)
    assert adaptive.success.all()
    assert (bright(adaptive.images) <= threshold).all()
    assert (model.predict(adaptive.images).argmax(1) != adaptive.labels).all()
    assert len(adaptive) == len(plain)


def test_the_ensemble_counts_no_alarm_among_the_rivals():
    model, data = linear(0, classes=3)
    found = evade(Auto(0.1), model, data, Alarm(bright, 2.0))
    assert found.success.all()


def test_an_alarm_alone_is_no_success_and_cannot_be_a_target():
    model, data = linear(0)
    always = Alarm(bright, -1.0)
    with pytest.raises(BadInput, match="at least one correctly classified"):
        evade(FGSM(0.1), model, data, always)
    strict = Alarm(
        lambda images: (images - 0.5).abs().flatten(1).amax(1), float((data.images - 0.5).abs().max()) + 1e-6
    )
    boxed = evade(APGD(0.5, steps=60, loss="margin", targets=4), model, data, strict)
    assert ((boxed.images - 0.5).abs().flatten(1).amax(1)[boxed.success] <= strict.threshold).all()
    targets = (data.labels + 1) % 5
    aimed = evade(APGD(0.4, steps=40, loss="margin"), model, data, Alarm(bright, 2.0), targets=targets)
    assert (aimed.predicted[aimed.success] == targets[aimed.success]).all()
