"""The ensemble's schedule and its stop rule."""

import pytest
import torch
from linear_nets import linear, smallest

from pixelproof import attacks
from pixelproof.attacks import APGD, FAB, Auto, MarginPGD, Square
from pixelproof.attacks.auto.ensemble import EnsembleStage, Ledger


def test_standard_is_the_published_schedule():
    plan = [stage.attack for stage in Auto(0.1, version="standard").stages(10)]
    assert plan[0] == APGD(0.1, steps=100)
    assert plan[1:10] == [APGD(0.1, steps=100, loss="dlr", targets=1, first=k) for k in range(9)]
    assert plan[10:19] == [FAB(steps=100, targets=1, first=k, eps=0.1) for k in range(9)]
    assert plan[19:] == [Square(0.1, queries=5000)]
    sparse = [stage.attack for stage in Auto(12.0, norm="l1", version="standard").stages(10)]
    assert sparse[0].restarts == 5
    assert sum(isinstance(attack, APGD) for attack in sparse) == 6


@pytest.mark.parametrize(("classes", "rivals"), [(2, 1), (3, 2), (4, 3), (10, 9)])
def test_no_part_heads_for_a_rival_that_does_not_exist(classes, rivals):
    for version in ("fast", "standard"):
        for stage in Auto(0.1, version=version).stages(classes):
            if isinstance(stage.attack, APGD | FAB) and stage.attack.targets:
                assert stage.attack.first < rivals
            if isinstance(stage.attack, APGD) and stage.attack.loss == "dlr":
                assert classes >= 4


def test_a_later_round_takes_only_images_on_which_the_last_one_made_progress():
    ledger = Ledger.begin(torch.zeros(3, 1, 2, 2), torch.ones(3))
    opening, probe, later = (
        EnsembleStage(MarginPGD(0.1), 0, False),
        EnsembleStage(Square(0.1), 0, True),
        EnsembleStage(Square(0.1, 5000), 1, True),
    )
    every, found, held = torch.arange(3), torch.ones(3, 1, 2, 2), torch.zeros(3, dtype=torch.bool)
    assert ledger.due(opening).tolist() == [0, 1, 2]
    ledger.record(every, found, torch.tensor([True, False, False]), torch.tensor([-1.0, 2.0, 2.0]))
    assert ledger.due(probe).tolist() == [1, 2]
    ledger.record(every[1:], found[1:], held[1:], torch.tensor([1.5, 1.95]))
    assert ledger.due(later).tolist() == [1]  # a quarter nearer; the other moved by less than a tenth
    assert ledger.reached.tolist() == [True, False, False]
    assert ledger.nearest.tolist() == pytest.approx([-1.0, 1.5, 1.95])


def test_more_starts_go_only_to_images_that_are_almost_broken():
    ledger = Ledger.begin(torch.zeros(3, 1, 2, 2), torch.tensor([1.0, 10.0, 1.0]))
    opening, near = EnsembleStage(MarginPGD(0.1), 0, False), EnsembleStage(APGD(0.1), 0, False, near=True)
    assert ledger.due(near).tolist() == []
    ledger.due(opening)
    held = torch.zeros(3, dtype=torch.bool)
    ledger.record(torch.arange(3), torch.ones(3, 1, 2, 2), held, torch.tensor([0.4, 0.4, 0.04]))
    assert ledger.due(near).tolist() == [1, 2]  # a twenty-fifth of the clean margin is left; of the other two fifths
    assert ledger.due(opening).tolist() == [0, 1, 2]
    assert [stage.near for stage in Auto(0.1).stages(10)].count(True) == 2
    assert not any(stage.near for stage in Auto(0.1, version="standard").stages(10))


def test_a_worse_result_never_replaces_a_better_one():
    ledger = Ledger.begin(torch.zeros(2, 1, 1, 1), torch.ones(2))
    rows = torch.arange(2)
    ledger.record(rows, torch.full((2, 1, 1, 1), 0.1), torch.tensor([True, False]), torch.tensor([-1.0, 1.0]))
    ledger.record(rows[1:], torch.full((1, 1, 1, 1), 0.2), torch.tensor([False]), torch.tensor([3.0]))
    assert ledger.images.flatten().tolist() == pytest.approx([0.1, 0.1])


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_the_ensemble_breaks_exactly_what_the_closed_form_says(norm):
    model, data = linear(1, classes=4, n=12)  # as many rivals as the first round heads for
    exact = smallest(model, data, norm)
    eps = float(exact.median()) * 1.0005
    found = attacks.mount(Auto(eps, norm=norm), model, data)
    assert found.success[exact < eps * 0.999].all()
    assert not found.success[exact > eps * 1.0001].any()
