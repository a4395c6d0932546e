"""Losses against their formulas; whatever is lowered, the goal stays the goal."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pixelproof.attacks.objectives import Objective, rivals
from pixelproof.types import Goal

LOGITS = torch.tensor([[4.0, 1.0, 3.0, 0.0], [0.0, 2.0, 5.0, 1.0]])
LABELS = torch.tensor([0, 1])


def loss(kind, *, targeted=False, aim=None):
    return Objective.of(Goal(LABELS, targeted), kind, aim).loss(LOGITS).tolist()


def test_margins_written_by_hand():
    assert loss("margin") == [1.0, -3.0]
    assert loss("margin", targeted=True) == [-1.0, 3.0]
    assert loss("margin", aim=torch.tensor([1, 0])) == [3.0, 2.0]


def test_dlr_written_by_hand():
    assert loss("dlr") == pytest.approx([1 / (4 - 1), -3 / (5 - 1)])
    assert loss("dlr", aim=torch.tensor([1, 0])) == pytest.approx([3 / (4 - 0.5), 2 / (5 - 0.5)])
    assert loss("dlr", targeted=True) == pytest.approx([-1 / (4 - 0.5), 3 / (5 - 0.5)])


def test_probability_margin_is_the_margin_of_the_softmax():
    p = LOGITS.softmax(1)
    assert loss("probability") == pytest.approx([float(p[0, 0] - p[0, 2]), float(p[1, 1] - p[1, 2])])


def test_cross_entropy_towards_a_rival():
    aim = torch.tensor([1, 0])
    expected = torch.nn.functional.cross_entropy(LOGITS, aim, reduction="none").tolist()
    assert loss("ce", aim=aim) == pytest.approx(expected)
    assert loss("ce") == Goal(LABELS).loss(LOGITS).tolist()


@given(st.integers(0, 10_000), st.sampled_from(["margin", "dlr", "probability"]), st.booleans())
def test_a_margin_is_negative_exactly_when_the_goal_is_reached(seed, kind, targeted):
    logits = torch.randn(6, 5, generator=torch.Generator().manual_seed(seed))
    goal = Goal(torch.arange(6) % 5, targeted)
    assert torch.equal(Objective.of(goal, kind).loss(logits) < 0, goal.reached(logits))


@given(st.integers(0, 10_000), st.floats(0.1, 100.0))
def test_dlr_ignores_the_scale_of_the_logits(seed, scale):
    logits = torch.randn(6, 5, generator=torch.Generator().manual_seed(seed))
    objective = Objective.of(Goal(torch.arange(6) % 5), "dlr")
    torch.testing.assert_close(objective.loss(logits * scale), objective.loss(logits), rtol=1e-3, atol=1e-4)


def test_an_aim_never_changes_what_counts_and_rows_keep_it():
    goal = Goal(LABELS)
    aimed = Objective.of(goal, "margin", torch.tensor([1, 0]))
    assert torch.equal(aimed.reached(LOGITS), goal.reached(LOGITS))
    row = aimed[torch.tensor([1])]
    assert row.aim is not None
    assert row.loss(LOGITS[1:]).tolist() == aimed.loss(LOGITS)[1:].tolist()


def test_rivals_come_strongest_first_and_never_include_the_label():
    assert rivals(LOGITS, LABELS, 2).tolist() == [[2, 1], [2, 3]]
    assert rivals(LOGITS, LABELS, 9).shape == (2, 3)
