"""Ingredients of a step against closed forms; training that resists, stops and proves what it says."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pixelproof import attacks, data, defend, models
from pixelproof.attacks import PGD
from pixelproof.defend import Hardening
from pixelproof.defend.adversarial import FastAdversarial, grown, perturb
from pixelproof.defend.gradients import (
    GradientClipping,
    GradientNoise,
    GradientSmoothing,
    Noising,
    Smoothing,
    multiscale,
)
from pixelproof.defend.penalties import InputGradientPenalty, InputGradientSmoothing
from pixelproof.errors import BadInput
from pixelproof.measure.flags import silent
from pixelproof.models import Card, Classifier, Recipe, Step, Training, train
from pixelproof.models.nets import build
from pixelproof.models.preprocessors import BitDepth, Features, Median
from pixelproof.models.preprocessors.squeezing import Rounding
from pixelproof.prove import certified
from pixelproof.prove.interval import layers, rivals

pytestmark = pytest.mark.slow

TRAIN, VAL, TEST = (data.load("digits", split) for split in ("train", "val", "test"))


def fresh(name="mlp", shape=(1, 8, 8), seed=0):
    return Classifier(build(name, shape, 10, seed), Card(name, TRAIN.classes, shape)).eval()


def linear():
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    return Classifier(net, Card("linear", TRAIN.classes, (1, 8, 8)))


def step(model, rows, progress=0.5):
    return Step(model, rows, TRAIN.labels[rows], 0, 0, progress)


ROWS = torch.arange(32)
IMAGES = TRAIN.images[:32]


def test_one_step_from_a_random_start_is_the_sign_of_the_gradient_inside_ball_and_box():
    model = linear()
    moved = perturb(model, IMAGES, TRAIN.labels[:32], 0.1, steps=1, size=1.0)
    x = IMAGES.clone().requires_grad_()
    F.cross_entropy(model(x), TRAIN.labels[:32]).backward()
    expected = torch.minimum(torch.maximum(IMAGES + 0.1 * x.grad.sign(), IMAGES * 0), IMAGES * 0 + 1)
    same = (moved - expected).abs() < 1e-6  # a step of 1 crosses the whole ball; the start shifts the gradient a little
    assert float(same.float().mean()) > 0.9
    assert float((moved - IMAGES).abs().max()) <= 0.1 + 1e-6
    assert moved.min() >= 0
    assert moved.max() <= 1


def test_the_share_of_a_batch_that_is_attacked_and_the_warm_up():
    model = linear()
    moved = FastAdversarial(0.1, share=0.5).fool(IMAGES, step(model, ROWS))
    assert (moved[:16] != IMAGES[:16]).flatten(1).any(1).all()
    assert torch.equal(moved[16:], IMAGES[16:])
    assert [grown(0.4, 0.5, step(model, ROWS, share)) for share in (0.0, 0.25, 0.5, 0.9)] == [0.0, 0.2, 0.4, 0.4]
    assert grown(0.4, 0.0, step(model, ROWS, 0.0)) == 0.4


def test_the_input_gradient_penalty_of_a_linear_network_in_closed_form():
    """For logits W x + b the gradient of the cross-entropy is W^T (p - y)."""
    model = linear()
    weight = model.net[1].weight
    residual = model(IMAGES).softmax(1) - F.one_hot(TRAIN.labels[:32], 10)
    gradient = residual @ weight
    expected = 2.0 * gradient.square().sum(1).mean()
    torch.testing.assert_close(InputGradientPenalty(2.0).penalty(IMAGES, step(model, ROWS)), expected)
    finite = InputGradientPenalty(2.0, form="finite", reach=1e-3).penalty(IMAGES, step(model, ROWS))
    torch.testing.assert_close(finite, expected, rtol=0.05, atol=0)
    maps = gradient.view(-1, 1, 8, 8)
    even = F.avg_pool2d(F.pad(maps, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    rough = (maps - even).square().flatten(1).sum(1).mean()
    torch.testing.assert_close(InputGradientSmoothing(1.0).penalty(IMAGES, step(model, ROWS)), rough)
    for penalty in (InputGradientPenalty(), InputGradientPenalty(form="finite"), InputGradientSmoothing()):
        assert torch.autograd.grad(penalty.penalty(IMAGES, step(model, ROWS)), weight)[0].abs().sum() > 0


def test_gradient_noise_has_its_variance_and_decays():
    noising = Noising(GradientNoise(scale=0.04, decay=0.55), seed=0)
    sizes = []
    for _ in range(100):
        gradients = [torch.zeros(50, 40), torch.zeros(7)]
        noising(gradients, step(linear(), ROWS))
        sizes.append(float(gradients[0].std()))
    expected = [math.sqrt(0.04 / (1 + t) ** 0.55) for t in range(100)]
    assert sizes == pytest.approx(expected, rel=0.1)


def test_clipping_is_torchs():
    given = [torch.randn(30, 4), torch.randn(5)]
    for defence, theirs in (
        (GradientClipping(norm=1.0), lambda p: nn.utils.clip_grad_norm_(p, 1.0)),
        (GradientClipping(value=0.1), lambda p: nn.utils.clip_grad_value_(p, 0.1)),
    ):
        parameters = [nn.Parameter(torch.zeros_like(g)) for g in given]
        for parameter, gradient in zip(parameters, given, strict=True):
            parameter.grad = gradient.clone()
        theirs(parameters)
        ours = [gradient.clone() for gradient in given]
        defence.clip(ours, step(linear(), ROWS))
        torch.testing.assert_close(ours, [parameter.grad for parameter in parameters])


def test_smoothing_over_time_and_along_rows():
    smoothing = Smoothing(GradientSmoothing(memory=0.5))
    seen = []
    for value in (1.0, 3.0, 5.0):
        gradient = [torch.full((2, 2), value)]
        smoothing(gradient, step(linear(), ROWS))
        seen.append(float(gradient[0][0, 0]))
    assert seen == [1.0, 2.0, 3.5]
    rows = torch.tensor([[0.0, 3.0, 0.0, 0.0]])
    torch.testing.assert_close(multiscale(rows, 2), torch.tensor([[0.5, 2.0, 0.5, 0.0]]))
    assert torch.equal(multiscale(rows, 1), rows)


@pytest.mark.parametrize("name", ["mlp", "cnn", "own", "behind preprocessors"])
def test_interval_bounds_hold_at_every_image_of_the_ball_and_are_exact_on_a_point(name):
    model = fresh(name) if name in models.NETS else None
    if model is None:
        net = nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(36, 10)
        )
        model = Classifier(net, Card("own", TRAIN.classes, (1, 8, 8)), mean=(0.3,), std=(0.5,))
        model(IMAGES)  # moves the batch statistics off their start
        model.eval()
    if name == "behind preprocessors":
        kept = torch.rand(1, 8, 8, generator=torch.Generator().manual_seed(0)) > 0.3
        model = Median(2).around(BitDepth(2).around(Features(0.5).keeping(model, kept)))
    chain, labels = layers(model), TRAIN.labels[:32]
    with torch.no_grad():
        logits = model(IMAGES)
        exact = rivals(chain, IMAGES, labels, 0.0)
        torch.testing.assert_close(exact, logits - logits.gather(1, labels[:, None]), rtol=1e-3, atol=1e-5)
        bound = rivals(chain, IMAGES, labels, 0.05)
        generator = torch.Generator().manual_seed(0)
        for _ in range(50):
            shift = 0.05 * (2 * torch.rand(IMAGES.shape, generator=generator) - 1).sign()
            logits = model((IMAGES + shift).clamp(0, 1))
            assert (logits - logits.gather(1, labels[:, None]) <= bound + 1e-5).all()
        assert (bound > exact - 1e-6).all()


def test_a_box_at_the_edge_of_a_rounding_step_holds_both_levels():
    """0.8 - 0.3 is 0.5 or a hair above it: one float to either side decides which level the pixel has."""
    weight = torch.zeros(2, 64)
    weight[1] = 1.0
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 2, bias=False))
    net[1].weight.data = weight
    model = BitDepth(1).around(Classifier(net, Card("edge", ("off", "on"), (1, 8, 8)))).double()
    images, labels = torch.full((1, 1, 8, 8), 0.8).double(), torch.tensor([1])
    assert float((images - 0.3).min()) > 0.5, (
        "0.8 of a float32 image lies above 0.8, in float32 the difference does not"
    )
    with torch.no_grad():
        assert float(rivals(layers(model), images, labels, 0.3)[0, 0]) == pytest.approx(0.0)
        assert float(rivals(layers(model), images, labels, 0.299)[0, 0]) == pytest.approx(-64.0)


def test_a_rounding_of_computed_values_has_no_bounds():
    """The widening is meant for pixels; behind a layer a value may be off by more."""
    net = nn.Sequential(nn.Conv2d(1, 2, 3), Rounding(1), nn.Flatten(), nn.Linear(72, 10))
    with pytest.raises(BadInput, match="the image's own values"):
        certified(Classifier(net, Card("own", TRAIN.classes, (1, 8, 8))), TEST, 0.1)
    scaled = Classifier(nn.Identity(), Card("own", TRAIN.classes, (1, 8, 8)), std=(0.1,))
    scaled.net = BitDepth(1).around(fresh())
    with pytest.raises(BadInput, match="the image's own values"):
        certified(scaled, TEST, 0.1)


def test_a_layer_without_bounds_is_named():
    model = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.GELU(), nn.Linear(10, 10)), linear().card)
    with pytest.raises(BadInput, match="GELU"):
        certified(model, TEST, 0.1)
    with pytest.raises(BadInput, match="GELU"):
        Hardening(defend.parse(["ibp"])).conduct(model, TRAIN, validation=VAL)
    with pytest.raises(BadInput, match="last layer must be Linear"):
        certified(Classifier(nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.ReLU()), linear().card), TEST, 0.1)


class Doubled(nn.Linear):
    """Not what its base class computes."""

    def forward(self, x):
        return -2 * super().forward(x)


def test_nothing_is_proven_of_a_network_that_computes_something_else():
    card = linear().card
    with pytest.raises(BadInput, match="Doubled"):
        certified(Classifier(nn.Sequential(nn.Flatten(), Doubled(64, 10)), card), TEST, 0.1)
    hooked = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), card)
    handle = hooked.net[1].register_forward_hook(lambda module, inputs, output: -output)
    with pytest.raises(BadInput, match=r"hooks.*net\.1"):
        certified(hooked, TEST, 0.1)
    handle.remove()
    before = hooked.digest()
    assert certified(hooked, TEST, 0.0).n == len(TEST)
    assert hooked.digest() == before
    hooked.net[1].forward = lambda x: -nn.functional.linear(x, hooked.net[1].weight)
    with pytest.raises(BadInput, match="own logits"):
        certified(hooked, TEST, 0.1)


def test_interval_training_certifies_and_no_attack_goes_below():
    settings = Training(epochs=40, batch=64)
    model = Hardening(defend.parse(["ibp:eps=0.05"]), settings).conduct(fresh(), TRAIN, validation=VAL).model
    proven = certified(model, TEST, 0.05)
    held = attacks.mount(PGD(0.05), model, TEST)
    standing = int((~held.success).sum())
    assert proven.hits <= standing
    assert float(proven) > 0.7  # n = 449, seed 0
    assert float(certified(fresh(), TEST, 0.05)) < 0.1


def test_interval_training_behind_a_rounding_proves_more():
    """Most pixels of a digit cannot cross the step between two levels, so the box behind it is small."""
    settings, proven = Training(epochs=30, batch=64), {}
    for preprocessor in ([], ["bits:bits=1,when=both"]):
        wanted = defend.parse([*preprocessor, "ibp:eps=0.2,kappa=0,ramp=0.4"])
        model = Hardening(wanted, settings).conduct(fresh(), TRAIN, validation=VAL).model
        proven[bool(preprocessor)] = certified(model, TEST, 0.2)
        held = attacks.mount(PGD(0.2), model, TEST)
        assert proven[bool(preprocessor)].hits <= int((~held.success).sum())
    assert float(proven[True]) > float(proven[False]) + 0.1, proven  # n = 449, seed 0


def test_adversarial_training_resists_where_plain_training_does_not():
    settings = Training(epochs=25, batch=64)
    robust = {}
    for spec in (
        "gradient-clip:norm=100",
        "fgsm-rs:eps=0.15",
        "pgd-at:eps=0.15,steps=3",
        "trades:eps=0.15,steps=3,beta=3",
    ):
        model = Hardening(defend.parse([spec]), settings).conduct(fresh(), TRAIN, validation=VAL).model
        found = attacks.mount(PGD(0.15, steps=20), model, TEST)
        robust[spec] = float((~found.success).sum()) / len(TEST)
    plain = robust.pop("gradient-clip:norm=100")
    assert all(value > plain + 0.15 for value in robust.values()), (plain, robust)  # n = 449, seed 0


def test_the_epoch_that_is_judged_best_is_kept_and_a_collapse_ends_the_training():
    scores = iter([0.2, 0.6, 0.5, 0.3, 0.9])
    model = fresh()
    kept = []

    def judge(classifier, validation):
        kept.append(classifier.digest())
        return next(scores)

    history = train(model, TRAIN, VAL, Training(epochs=5), recipe=Recipe(judge=judge, collapse=0.25))
    assert history.kept == 1
    assert history.judged.tolist() == pytest.approx([0.2, 0.6, 0.5, 0.3])
    assert "fell from 0.600 to 0.300" in history.stopped
    assert model.digest() == kept[1]
    with pytest.raises(BadInput, match="judges epochs needs validation"):
        train(model, TRAIN, None, Training(), recipe=Recipe(judge=judge))


@pytest.mark.parametrize("validation", [VAL, None])
def test_a_loss_that_breaks_later_keeps_the_best_epoch_and_says_where(validation):
    passes = -(-len(TRAIN) // 128)
    calls = [0]

    def breaking(images, seen):
        calls[0] += 1
        return images * float("nan") if calls[0] == 2 * passes + 3 else images

    reference = fresh()
    model = fresh()
    history = train(model, TRAIN, validation, Training(epochs=4), recipe=Recipe(transforms=(breaking,)))
    assert history.stopped == f"the loss was nan at batch {2 * passes + 3}"
    assert len(history.training) == 2
    assert history.kept == (int(history.validation[:, 1].argmax()) if validation is not None else 1)
    assert torch.isfinite(model.predict(TEST.images)).all()
    assert reference.digest() != model.digest()


def test_averaged_weights_are_the_running_mean():
    mean = []

    def remember(gradients, seen):
        mean.append(seen.classifier.net.fc3.bias.detach().clone())

    model = fresh()
    settings = Training(epochs=1, batch=300, learning_rate=0.01)
    train(model, TRAIN, None, settings, recipe=Recipe(average=0.9, treatments=(remember,)))
    plain = fresh()
    train(plain, TRAIN, None, settings)
    visited = [*mean[1:], plain.net.fc3.bias.detach()]
    expected = mean[0]
    for t, value in enumerate(visited, start=1):
        decay = min(0.9, (1 + t) / (10 + t))
        expected = decay * expected + (1 - decay) * value
    torch.testing.assert_close(model.net.fc3.bias.detach(), expected)


def test_distillation_hides_gradients_and_does_not_resist():
    settings = Training(epochs=30, batch=64)
    (defence,) = defend.parse(["distillation:temperature=50"])
    model = Hardening((defence,), settings).conduct(fresh(), TRAIN, validation=VAL).model
    plain = models.load("mlp", data=TRAIN, training=settings)
    assert model.predict(TEST.images).abs().amax(1).mean() > 5 * plain.predict(TEST.images).abs().amax(1).mean()
    assert silent(model, TEST.images, TEST.labels).float().mean() > 0.5, "the cross-entropy's gradient underflows"
    assert not silent(plain, TEST.images, TEST.labels).any()
    for attack in (attacks.MarginPGD(0.15), attacks.FGSM(0.15)):
        held = float(attacks.mount(attack, model, TEST).robust_accuracy)
        assert held < float(attacks.mount(attack, plain, TEST).robust_accuracy) + 0.1
