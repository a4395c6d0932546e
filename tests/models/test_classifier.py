"""Classifier: normalisation inside, refusals with a reason, taps, and modes that come back."""

import pytest
import torch
from torch import nn

from pixelproof.errors import BadInput, UnknownName
from pixelproof.models import Card, LogProbabilities, evaluating, frozen, wrap

SHAPE = (1, 4, 4)
IMAGES = torch.rand(5, *SHAPE, generator=torch.Generator().manual_seed(0))


class Net(nn.Module):
    """conv - in-place relu - dropout - dense, and a layer that never runs."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3)
        self.relu = nn.ReLU(inplace=True)
        self.drop = nn.Dropout(0.5)
        self.fc = nn.Linear(8, 3)
        self.idle = nn.Linear(2, 2)

    def forward(self, images):
        return self.fc(self.drop(self.relu(self.conv(images))).flatten(1))


class Gives(nn.Module):
    """A network that ignores its input."""

    def __init__(self, output):
        super().__init__()
        self.output = output

    def forward(self, images):
        return self.output(len(images))


@pytest.fixture
def net():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Net().eval()


def test_normalisation_is_inside(net):
    model = wrap(net, classes=3, input_shape=SHAPE, mean=(0.3,), std=(0.5,))
    torch.testing.assert_close(model(IMAGES), net((IMAGES - 0.3) / 0.5))
    torch.testing.assert_close(wrap(net, classes=3, input_shape=SHAPE)(IMAGES), net(IMAGES))


def test_wrapping_names_classes_and_leaves_the_mode_alone(net):
    net.train()
    model = wrap(net, classes=["a", "b", "c"], input_shape=SHAPE)
    assert model.card == Card("net", ("a", "b", "c"), SHAPE)
    assert net.training
    assert wrap(net, classes=3, input_shape=SHAPE).card.classes == ("0", "1", "2")


@pytest.mark.parametrize(
    ("output", "says"),
    [
        (lambda n: torch.rand(n, 4), "must return .8, 3. logits"),
        (lambda n: torch.rand(n), "must return"),
        (lambda n: (n, 3), "got tuple.*returns the tensor of logits"),
        (lambda n: torch.full((n, 3), float("nan")), "finite"),
        (lambda n: torch.rand(n, 3).softmax(1), "looks like probabilities.*last softmax"),
        (lambda n: torch.rand(n, 3) @ torch.rand(4, 4), "must accept images"),
    ],
)
def test_networks_that_cannot_be_classifiers_are_refused(output, says):
    with pytest.raises(BadInput, match=says):
        wrap(Gives(output), classes=3, input_shape=SHAPE)


@pytest.mark.parametrize(("mean", "std"), [((0.1, 0.2), ()), ((), (0.5, 0.5)), ((), (0.0,)), ((), (-1.0,))])
def test_a_normalisation_that_does_not_fit_is_refused(net, mean, std):
    with pytest.raises(BadInput):
        wrap(net, classes=3, input_shape=SHAPE, mean=mean, std=std)


def test_probabilities_can_be_turned_into_logits(net):
    model = wrap(LogProbabilities(nn.Sequential(net, nn.Softmax(1))), classes=3, input_shape=SHAPE)
    torch.testing.assert_close(model(IMAGES).softmax(1), net(IMAGES).softmax(1))
    saturated = LogProbabilities(Gives(lambda n: torch.tensor([[1.0, 0.0]]).expand(n, 2)))
    assert torch.isfinite(saturated(IMAGES)).all()


def test_images_of_another_shape_are_refused(net):
    model = wrap(net, classes=3, input_shape=SHAPE)
    with pytest.raises(BadInput, match=r"images must have shape \(1, 4, 4\); got \(3, 4, 4\)"):
        model(torch.rand(1, 3, 4, 4))
    with pytest.raises(BadInput, match="Divide by 255"):
        model.predict(IMAGES * 255)


def test_predict_is_batched_and_in_evaluation_mode(net):
    model = wrap(net, classes=3, input_shape=SHAPE).train()
    logits = model.predict(IMAGES, batch=2)
    torch.testing.assert_close(logits, net.eval()(IMAGES).detach())
    assert not logits.requires_grad
    assert model.training


def test_layers_are_the_convolutions_and_dense_ones_in_order(net):
    assert wrap(net, classes=3, input_shape=SHAPE).layers == ("conv", "fc", "idle")


def test_taps_are_what_the_layer_puts_out_before_anything_changes_it(net):
    model = wrap(net, classes=3, input_shape=SHAPE)
    taps = model.taps(IMAGES, ["conv", "fc"])
    torch.testing.assert_close(taps["conv"], net.conv(IMAGES).flatten(1))
    assert (taps["conv"] < 0).any(), "the in-place relu that follows must not reach the tap"
    torch.testing.assert_close(taps["fc"], net(IMAGES))


def test_taps_carry_gradients_to_the_images(net):
    images = IMAGES.clone().requires_grad_()
    taps = wrap(net, classes=3, input_shape=SHAPE).taps(images, ["conv"])
    (gradient,) = torch.autograd.grad(taps["conv"].sum(), images)
    assert gradient.abs().sum() > 0


def hooks(module):
    return sum(len(part._forward_hooks) for part in module.modules())


def test_hooks_are_gone_afterwards_also_after_an_error(net):
    model = wrap(net, classes=3, input_shape=SHAPE)
    model.taps(IMAGES, ["conv"])
    assert hooks(model) == 0
    with pytest.raises(BadInput):
        model.taps(torch.rand(1, 2, 4, 4), ["conv", "fc"])
    assert hooks(model) == 0


def test_unknown_and_idle_layers_are_named(net):
    model = wrap(net, classes=3, input_shape=SHAPE)
    with pytest.raises(UnknownName, match="Did you mean 'conv'"):
        model.taps(IMAGES, ["convv"])
    with pytest.raises(UnknownName):
        model.taps(IMAGES, [""])
    with pytest.raises(BadInput, match="idle"):
        model.taps(IMAGES, ["conv", "idle"])
    assert hooks(model) == 0


@pytest.mark.parametrize("context", [evaluating, frozen])
@pytest.mark.parametrize("fails", [False, True])
def test_modes_and_gradients_come_back_part_by_part(net, context, fails):
    net.train()
    net.drop.eval()
    net.conv.weight.requires_grad_(False)
    modes = [part.training for part in net.modules()]
    wants = [parameter.requires_grad for parameter in net.parameters()]
    try:
        with context(net):
            assert not any(part.training for part in net.modules())
            assert any(parameter.requires_grad for parameter in net.parameters()) == (context is evaluating)
            if fails:
                raise KeyError("inside")
    except KeyError:
        assert fails
    assert [part.training for part in net.modules()] == modes
    assert [parameter.requires_grad for parameter in net.parameters()] == wants
    assert all(parameter.grad is None for parameter in net.parameters())


def test_the_digest_follows_weights_and_normalisation(net):
    model = wrap(net, classes=3, input_shape=SHAPE)
    before = model.digest()
    assert len(before) == 18
    assert before.startswith("2-")
    assert wrap(net, classes=3, input_shape=SHAPE).digest() == before
    assert wrap(net, classes=3, input_shape=SHAPE, mean=(0.1,)).digest() != before
    with torch.no_grad():
        net.fc.bias[0] += 1e-6
    assert model.digest() != before


def test_a_card_can_be_carried_on(net):
    model = wrap(net, classes=3, input_shape=SHAPE)
    assert model.carrying(accuracy=0.5, data="toy") is model
    assert (model.card.accuracy, model.card.data) == (0.5, "toy")
