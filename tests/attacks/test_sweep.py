"""Whole robustness curves: monotone, inside every budget, and no weaker than the attacks one by one."""

from itertools import pairwise

import pytest
import torch
from attack_toys import digits_net, linear

from pixelproof import attacks
from pixelproof.attacks import BIM, FGSM, PGD, DeepFool, SignNoise, UniformNoise, mount, sweep
from pixelproof.errors import BadInput

GRID = [0.02, 0.05, 0.08, 0.12, 0.2]
KINDS = (
    FGSM(0.1),
    BIM(0.1, steps=5),
    PGD(0.1, steps=10),
    PGD(0.1, steps=6, restarts=2),
    DeepFool(),
    UniformNoise(0.1),
    SignNoise(0.1),
)


def robust(sets):
    return [float(found.robust_accuracy) for found in sets]


@pytest.mark.parametrize("attack", KINDS, ids=attacks.specs.write)
def test_curves_fall_and_stay_within_their_budgets(attack):
    model, test = digits_net()
    curve = sweep(attack, model, test, GRID)
    assert [found.eps for found in curve] == GRID
    for small, large in pairwise(curve):
        assert (large.success | ~small.success).all()
    for found in curve:
        assert (found.distance[attack.norm] <= found.eps * (1 + 1e-5)).all()
        assert torch.equal(found.success, model.predict(found.images).argmax(1) != found.labels)
        saved = (found.images * 255).round() / 255
        assert torch.equal(found.success_8bit, found.success & (model.predict(saved).argmax(1) != found.labels))
        assert torch.equal(found.index, curve[0].index)
        assert attacks.parse(found.attack).eps == found.eps


@pytest.mark.parametrize("attack", [FGSM(0.1), BIM(0.1, steps=5), PGD(0.1, steps=20, precision="float32"), DeepFool()])
def test_a_curve_is_no_weaker_than_its_points(attack):
    model, test = digits_net()
    together, alone = (sweep(attack, model, test, GRID, independent=one_by_one) for one_by_one in (False, True))
    gain = torch.tensor(robust(together)) - torch.tensor(robust(alone))
    assert (gain <= 0.0101).all(), (robust(together), robust(alone))


@pytest.mark.parametrize("attack", [FGSM(0.1), PGD(0.1, steps=5), DeepFool()])
def test_independent_points_are_mounts_one_by_one(attack):
    model, test = digits_net()
    for found, eps in zip(sweep(attack, model, test, GRID, independent=True, seed=3), GRID, strict=True):
        alone = mount(attacks.parse(found.attack), model, test, seed=3)
        assert torch.equal(found.images, alone.images)
        assert torch.equal(found.forwards, alone.forwards)
        assert (found.eps, found.attack) == (eps, alone.attack)


@pytest.mark.parametrize("attack", [FGSM(0.1), PGD(0.1, steps=5), DeepFool()])
def test_the_order_of_the_budgets_is_kept(attack):
    model, test = digits_net()
    shuffled = [GRID[k] for k in (3, 0, 4, 1, 2)]
    ordered = {found.eps: found for found in sweep(attack, model, test, GRID)}
    for found, eps in zip(sweep(attack, model, test, shuffled), shuffled, strict=True):
        assert found.eps == eps
        assert torch.equal(found.images, ordered[eps].images)


def test_a_search_for_the_smallest_perturbation_runs_once():
    model, test = digits_net()
    alone = mount(DeepFool(), model, test)
    curve = sweep(DeepFool(), model, test, [*GRID, 1.0])
    for found in curve:
        assert torch.equal(found.forwards, alone.forwards)
        assert torch.equal(found.backwards, alone.backwards)
        within = alone.distance["linf"] <= found.eps
        assert found.success[within].all()
    torch.testing.assert_close(curve[-1].images[curve[-2].success.logical_not()], alone.images[~curve[-2].success])


def test_bisection_spends_fewer_passes_than_the_points():
    model, test = digits_net()
    attack = PGD(0.1, steps=20)
    together, alone = (sweep(attack, model, test, GRID, independent=one_by_one) for one_by_one in (False, True))
    spent = sum(found.backwards.sum() for found in alone)
    assert together[0].backwards.sum() < 0.6 * spent
    assert all(torch.equal(found.backwards, together[0].backwards) for found in together)
    assert all(found.seconds == together[0].seconds for found in together)


def test_a_linear_net_breaks_at_the_first_budget_beyond_its_distance():
    model, weight, toy = linear(classes=2)
    logits = model(toy.images).detach()
    lead = (logits.gather(1, toy.labels[:, None]) - logits.gather(1, 1 - toy.labels[:, None]))[:, 0]
    distance = lead / (weight[0] - weight[1]).abs().sum()
    grid = [0.01, 0.03, 0.06, 0.1]
    for found in sweep(PGD(0.1, steps=20), model, toy, grid):
        clear = (distance - found.eps).abs() > 3e-4
        assert torch.equal(found.success[clear], (distance < found.eps)[clear])


@pytest.mark.parametrize("attack", KINDS, ids=attacks.specs.write)
def test_a_budget_of_zero_and_a_repeated_one(attack):
    model, test = digits_net()
    zero, once, twice = sweep(attack, model, test[:40], [0.0, 0.1, 0.1])
    assert torch.equal(zero.images, zero.clean)
    assert torch.equal(once.success, twice.success)


def test_batches_and_order_of_images_do_not_change_a_curve():
    model, test = digits_net()
    order = torch.randperm(len(test), generator=torch.Generator().manual_seed(0))
    attack = PGD(0.1, steps=10, precision="float32")
    for one, other in zip(sweep(attack, model, test, GRID), sweep(attack, model, test[order], GRID), strict=True):
        place = {position: row for row, position in enumerate(other.index.tolist())}
        rows = torch.tensor([place[position] for position in one.index.tolist()])
        assert torch.equal(one.success, other.success[rows])


@pytest.mark.parametrize("independent", [False, True])
@pytest.mark.parametrize("attack", [FGSM(0.1), PGD(0.1, steps=3), DeepFool()])
def test_progress_rises_to_the_end(attack, independent):
    model, test = digits_net()
    seen = []
    show = lambda done, total: seen.append(done / total)  # noqa: E731
    sweep(attack, model, test[:40], [0.01, 0.02], independent=independent, progress=show)
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


def test_budgets_that_cannot_be_right_are_refused():
    model, _, toy = linear()
    with pytest.raises(BadInput, match="at least one eps"):
        sweep(FGSM(0.1), model, toy, [])
    with pytest.raises(BadInput, match="eps must be a finite number >= 0; got -1"):
        sweep(PGD(0.1), model, toy, [0.1, -1.0])
