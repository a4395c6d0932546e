"""Minimal-norm attacks on linear nets with two classes, whose smallest perturbations are known in closed form."""

from dataclasses import replace

import pytest
import torch
from linear_nets import linear, smallest
from torch import nn

from pixelproof import attacks, lp, models, specs
from pixelproof.attacks import CW, DDN, FAB, FMN, PDPGD, SigmaZero
from pixelproof.attacks.nearest import Nearest
from pixelproof.attacks.sparse import shrink
from pixelproof.attacks.watch import watch
from pixelproof.errors import BadInput
from pixelproof.types import Goal

CLOSE = [
    (DDN(), 1.02),
    (FMN("linf"), 1.02),
    (FMN("l2"), 1.02),
    (FMN("l1"), 1.02),
    (FMN("l0"), 1.0),
    (SigmaZero(300), 1.0),
    (FAB(30), 1.02),
    (FAB(30, norm="l2"), 1.02),
    (FAB(30, norm="l1"), 1.02),
    (CW(200, searches=8), 1.02),
    (PDPGD("linf", 150), 1.02),
    (PDPGD("l2", 150), 1.02),
    (PDPGD("l1", 150), 1.02),
    (PDPGD("l1"), 1.02),
]


@pytest.mark.parametrize(
    ("attack", "factor"), CLOSE, ids=lambda value: specs.write(value) if hasattr(value, "name") else ""
)
def test_distances_are_the_closed_form_up_to_a_factor_and_never_below(attack, factor):
    model, data = linear(1, classes=2)
    found = attacks.mount(attack, model, data)
    exact = smallest(model, data, attack.norm)
    assert found.success.all()
    assert (found.minimal(attack.norm) >= exact * (1 - 1e-4)).all()
    assert (found.minimal(attack.norm) <= exact * factor + 1e-6).all()


@pytest.mark.parametrize(
    "attack",
    [
        DDN(40, precision="float32"),
        FMN("linf", 40, precision="float32"),
        FMN("l0", 40, precision="float32"),
        CW(60, 3),
        SigmaZero(60),
        PDPGD("l2", 60),
    ],
    ids=lambda a: a.name,
)
def test_results_do_not_depend_on_the_batch(attack):
    model, data = linear(2)
    whole, single = (attacks.mount(attack, model, data, batch=size) for size in (12, 1))
    assert torch.equal(whole.success, single.success)
    torch.testing.assert_close(whole.images, single.images, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("attack", [DDN(), FMN("linf"), FMN("l1"), CW(300, 5), SigmaZero(200)], ids=lambda a: a.name)
def test_targeted_runs_end_in_the_target(attack):
    model, data = linear(1)
    targets = (data.labels + 1) % 5
    found = attacks.mount(attack, model, data, targets=targets)
    assert found.success.float().mean() > 0.7
    assert (found.predicted[found.success] == targets[found.success]).all()
    bound = smallest(model, data, attack.norm, targets) if attack.norm != "l0" else torch.ones(len(data))
    assert (found.minimal(attack.norm) >= bound * (1 - 1e-4)).all()


@pytest.mark.parametrize(
    "attack", [DDN(20), FMN("linf", 20), FMN("l0", 20), CW(20, 2), SigmaZero(20), PDPGD("l1", 20)], ids=lambda a: a.name
)
def test_a_model_without_gradients_ends_in_failure_and_not_in_nan(attack):
    model, data = linear(0)
    model.net[1].weight.data.zero_()
    data = type(data)("flat", data.images, model.predict(data.images).argmax(1), data.classes)
    found = attacks.mount(attack, model, data)
    assert not found.success.any()
    assert torch.isfinite(found.images).all()


@pytest.mark.parametrize("norm", ["l1", "l2", "linf"])
def test_shrink_is_the_proximal_operator(norm):
    """No nearby or random point has a lower price * ||u|| + ||u - d||^2 / 2."""
    generator = torch.Generator().manual_seed(0)
    delta, price = torch.randn(3, 1, 3, 3, generator=generator), torch.tensor([0.1, 0.5, 2.0])

    def cost(u):
        return price * lp.norm(u, norm) + (u - delta).square().sum((1, 2, 3)) / 2

    best = shrink(delta, price, norm)
    for scale in (0.001, 0.1, 1.0):
        for _ in range(50):
            assert (cost(best) <= cost(best + scale * torch.randn(delta.shape, generator=generator)) + 1e-6).all()


def test_one_run_gives_the_whole_curve():
    """The share broken at each budget, read from the distances, is what budget runs at the closed form would give."""
    model, data = linear(1, classes=2)
    exact, found = smallest(model, data, "linf"), attacks.mount(FMN("linf"), model, data).minimal("linf")
    for budget in exact.quantile(torch.linspace(0.05, 0.95, 9)):
        assert int((found <= budget * 1.02).sum()) >= int((exact <= budget).sum())
        assert int((found <= budget).sum()) <= int((exact <= budget * 1.0001).sum())


def test_settings_that_make_no_sense_are_refused():
    for attack, changes in (
        (DDN(), {"gamma": 1.0}),
        (FMN(), {"step_size": 0.0}),
        (FMN(), {"gamma": 0.0}),
        (CW(), {"rate": 0.0}),
        (SigmaZero(), {"threshold": 2.0}),
        (PDPGD(), {"price": 1.0}),
    ):
        with pytest.raises(BadInput):
            replace(attack, **changes)
        with pytest.raises(BadInput):
            replace(attack, steps=0)


def blurred(seed):
    """A linear net whose bfloat16 margins are off by a good part of a logit: two large numbers that nearly cancel."""
    model, data = linear(seed, classes=2)
    apart = nn.Linear(2, 2)
    apart.weight.data.copy_(torch.tensor([[0.5, -0.5], [-0.5, 0.5]]))
    apart.bias.data.zero_()
    model.net[1].bias.data += 100.0
    blurry = models.wrap(nn.Sequential(model.net, apart), classes=2, input_shape=(1, 4, 4)).eval()
    return blurry, data


@pytest.mark.parametrize("attack", [DDN(), FMN("linf"), FMN("l2"), FMN("l1")], ids=specs.write)
def test_what_bfloat16_only_imagined_is_searched_again_in_float32(attack):
    model, data = blurred(1)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        coarse = model(data.images).float()
    assert (coarse - model.predict(data.images)).abs().amax(1).median() > 0.05  # far more than DOUBT of a logit
    exact = attacks.mount(replace(attack, precision="float32"), model, data)
    found = attacks.mount(replace(attack, precision="bf16"), model, data)
    assert exact.success.all()
    assert found.success.all()
    assert float((found.minimal(attack.norm) / exact.minimal(attack.norm)).median()) < 1.1


def test_only_rows_that_float32_denies_are_searched_again():
    model, data = linear(1, classes=2)
    goal = Goal(data.labels)
    nearest, watched = Nearest.begin(data.images, "l2"), watch(model, goal)
    good = attacks.mount(DDN(), model, data).images
    claimed = good.clone()
    claimed[0] = data.images[0] + 0.001  # fools nothing
    everything = torch.ones(len(data), dtype=torch.bool)
    nearest.note(claimed, everything, proven=~everything)
    asked = []

    def again(rows):
        asked.extend(rows.tolist())
        return good[rows]

    nearest.prove(watched, goal, again)
    assert asked == [0]
    assert torch.equal(nearest.images, good)
    assert not nearest.unproven.any()
    torch.testing.assert_close(nearest.distance, lp.norm(good - data.images, "l2"))
