"""Every attack of the table on networks whose logits or gradients are unusual, but whose decisions are ordinary."""

from functools import lru_cache

import pytest
import torch
from attack_toys import linear
from test_hard_models import every
from torch import nn

from pixelproof import models, specs
from pixelproof.attacks import DDN, FGSM, MIFGSM, PGD, Auto, mount, parse
from pixelproof.data import Dataset
from pixelproof.errors import NoGradient, PixelproofError
from pixelproof.measure import evaluate
from pixelproof.types import Goal

SCALES = (1e-6, 1e-3, 1e3, 1e6)


class Times(nn.Module):
    """A network's logits times a number, in a type of their own."""

    def __init__(self, net, factor=1.0, dtype=torch.float32):
        super().__init__()
        self.net, self.factor, self.dtype = net, factor, dtype

    def forward(self, images):
        return (self.net(images) * self.factor).to(self.dtype)


class Gamma(nn.Module):
    """A linear network behind a gamma curve, whose slope is infinite at black."""

    def __init__(self, net, how="power"):
        super().__init__()
        self.net, self.how = net, how

    def forward(self, images):
        if self.how == "power":
            return self.net(images**0.45)
        return self.net(torch.where(images > 0, images.sqrt(), torch.zeros_like(images)))


class Blind(nn.Module):
    """A linear network that gives no gradient, for one reason or another."""

    def __init__(self, net, how):
        super().__init__()
        self.net, self.how = net, how

    def forward(self, images):
        if self.how == "no_grad":
            with torch.no_grad():
                return self.net(images)
        if self.how == "numpy":
            return self.net(torch.from_numpy(images.numpy()).clone()).detach()
        return self.net((images * 255).long().float() / 255)


def toy(net, images, classes=4):
    """`net` as a classifier, and the images named by it."""
    model = models.wrap(net, classes=classes, input_shape=(1, 4, 4)).eval()
    return model, Dataset("toy", images, model.predict(images).argmax(1), model.card.classes)


@lru_cache
def usual(n=12):
    """A linear network, and images whose logits span as much as those of a trained one."""
    model, _, data = linear(classes=4)
    with torch.no_grad():
        logits = model(data.images)
        spread = logits.amax(1) - logits.amin(1)
        scale = float(11 / spread.median())
        model.net[1].weight.mul_(scale), model.net[1].bias.mul_(scale)
    kept = (spread * scale > 8.1) & (spread * scale < 15.9)
    return model.net, data.images[kept][:n]


@lru_cache
def at_scale(spec, factor):
    net, images = usual()
    return mount(parse(spec), *toy(Times(net, factor), images))


@pytest.mark.parametrize("factor", SCALES)
@every
def test_the_scale_of_the_logits_changes_no_answer(attack, factor):
    """One power of two away from the usual span, every loss is what it was; images agree to rounding."""
    spec = specs.write(attack)
    plain, scaled = at_scale(spec, 1.0), at_scale(spec, factor)
    assert torch.equal(plain.index, scaled.index)
    assert (plain.success == scaled.success).float().mean() > 0.9
    if attack.eps is None:  # how deep inside its budget another stops depends on its steps' last digits
        both = plain.success & scaled.success
        found, known = (each.distance[attack.norm][both] for each in (scaled, plain))
        torch.testing.assert_close(found, known, rtol=0.02, atol=1e-5)


def test_a_note_says_that_logits_were_rescaled():
    assert not at_scale("ddn", 1.0).notes
    assert "multiples" in at_scale("ddn", 1e6).notes[0]
    assert "multiples" in repr(at_scale("ddn", 1e6))


@pytest.mark.parametrize("lead", [10.0, 17.0, 40.0, 90.0])
def test_where_the_cross_entropy_vanishes_its_direction_does_not(lead):
    logits = torch.tensor([[lead, 0.0, -1.0], [0.0, lead, -2.0]]).requires_grad_()
    goal = Goal(torch.tensor([0, 1]))
    (slope,) = torch.autograd.grad(goal.loss(logits).sum(), logits)
    away = (logits.detach().double() + torch.tensor([[-torch.inf, 0, 0], [0, -torch.inf, 0]])).softmax(1)
    exact = torch.tensor([[1.0, 0, 0], [0, 1, 0]]) - away  # up to its length, which is 1 - p
    torch.testing.assert_close(
        nn.functional.normalize(slope), nn.functional.normalize(exact.float()), atol=2e-3, rtol=0
    )


def test_a_vanished_cross_entropy_ranks_behind_every_other():
    logits = torch.tensor([[lead, 0.0, 0.0] for lead in (0.0, 5.0, 15.0, 20.0, 40.0, 200.0)])
    loss = Goal(torch.zeros(6, dtype=torch.long)).loss(logits)
    assert torch.equal(loss, loss.sort().values)
    assert (loss.diff() > 0).all()


@pytest.mark.parametrize("how", ["power", "masked"])
@every
def test_infinite_slopes_cost_no_attack_its_success(attack, how):
    """Rows of black pixels: their slopes are infinite (NaN behind the mask), the other pixels decide as ever."""
    plain, _, data = linear(classes=4)
    images = data.images[:12].clone()
    images[:, :, :2] = 0
    found = mount(attack, *toy(Gamma(plain.net, how), images))
    assert torch.isfinite(found.images).all()
    clear = attack.eps is None or attack.eps > {"linf": 0.1, "l2": 0.5, "l1": 5.0, "l0": 1.0}[attack.norm]
    if found.forwards.any() and clear:
        assert found.success.any()


@lru_cache
def takes_gradients(attack):
    plain, _, data = linear(classes=4)
    return bool(mount(attack, *toy(plain.net, data.images[:4])).backwards.any())


@lru_cache
def of_blind(attack, how):
    """What the attack finds on a network without a gradient; to be read only."""
    plain, _, data = linear(classes=4)
    return mount(attack, *toy(Blind(plain.net, how), data.images[:12]))


@pytest.mark.parametrize("how", ["no_grad", "numpy", "levels"])
@every
def test_a_network_without_a_gradient_is_refused_or_asked(attack, how):
    """What needs a gradient says so in one sentence, what does not goes on; nothing reports that all images held."""
    if attack.kind == "fixed":  # the pixel attacks' own tests ask this of them
        return
    if attack.name != Auto.name and takes_gradients(attack):
        with pytest.raises(NoGradient, match=r"must give a gradient.*square"):
            of_blind(attack, how)
        return
    found = of_blind(attack, how)
    if found.forwards.any():
        assert found.success.any()
    assert bool(found.notes) == (attack.name == Auto.name)


def test_auto_says_what_it_left_out_and_an_evaluation_shows_its_parts():
    plain, _, data = linear(classes=4)
    model, blind = toy(Blind(plain.net, "no_grad"), data.images[:12])
    assert "by queries" in of_blind(Auto(0.05), "no_grad").notes[0]
    parts = evaluate(model, blind[:2], Auto(1e-4)).parts
    assert [part.spec.partition(":")[0] for part in parts] == ["square", "hop-skip-jump"]


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
@every
def test_logits_of_another_type_are_taken(attack, dtype):
    net, images = usual()
    model, data = toy(Times(net, dtype=dtype), images)
    found = mount(attack, model, data)
    agree = found.success == at_scale(specs.write(attack), 1.0).success
    assert agree.float().mean() > 0.7  # a label of the coarser logits is not always that of the finer ones


class Scripted(nn.Module):
    """What a compiled graph does: it runs in bfloat16, and its backward pass does not."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, images):
        if torch.is_autocast_enabled("cpu"):
            raise RuntimeError("expected dtype c10::BFloat16 for gradOutput but got dtype float")
        return self.net(images)


@pytest.mark.parametrize("attack", [PGD(0.2, steps=4, precision="bf16"), DDN(steps=10, precision="bf16")], ids=str)
def test_a_network_that_bfloat16_breaks_is_taken_in_float32(attack):
    plain, _, data = linear(classes=4)
    found = mount(attack, *toy(Scripted(plain.net), data.images[:12]))
    assert found.success.any()
    assert "float32" in found.notes[0]
    assert not mount(attack, *toy(plain.net, data.images[:12])).notes


@pytest.mark.parametrize("broken", ["forward", "backward"])
def test_an_error_that_is_the_networks_own_comes_through(broken):
    plain, _, data = linear(classes=4)

    class Fails(torch.autograd.Function):
        @staticmethod
        def forward(_context, images):
            return images.clone()

        @staticmethod
        def backward(_context, _gradient):
            raise RuntimeError("out of cheese")

    class Broken(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = plain.net

        def forward(self, images):
            if broken == "forward" and images.requires_grad:
                raise RuntimeError("out of cheese")
            return self.net(Fails.apply(images))

    with pytest.raises(RuntimeError, match="cheese"):
        mount(PGD(0.1), *toy(Broken(), data.images[:4]))


def test_called_without_the_harness_a_missing_gradient_is_named_too():
    plain, _, data = linear(classes=4)
    model, blind = toy(Blind(plain.net, "levels"), data.images[:4])
    for attack in (FGSM(0.1), MIFGSM(0.1), PGD(0.1)):
        with pytest.raises(PixelproofError, match="must give a gradient"):
            attack(model, blind.images, Goal(blind.labels), torch.Generator())
