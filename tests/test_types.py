"""Goals, rates and the checks on images and labels."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from pixelproof.detect.evaluation.curves import Estimate
from pixelproof.errors import BadInput
from pixelproof.types import Goal, Rate, check_images, check_labels

LOGITS = torch.tensor([[2.0, 1.0, 0.0], [0.0, 3.0, 1.0]])


def test_an_untargeted_goal_is_any_other_class():
    goal = Goal(torch.tensor([0, 0]))
    assert goal.reached(LOGITS).tolist() == [False, True]
    torch.testing.assert_close(goal.loss(LOGITS), -F.cross_entropy(LOGITS, goal.labels, reduction="none"))


def test_a_targeted_goal_is_exactly_that_class():
    goal = Goal(torch.tensor([0, 0]), targeted=True)
    assert goal.reached(LOGITS).tolist() == [True, False]
    torch.testing.assert_close(goal.loss(LOGITS), F.cross_entropy(LOGITS, goal.labels, reduction="none"))


def test_rows_of_a_goal_keep_its_kind():
    goal = Goal(torch.tensor([4, 5, 6]), targeted=True)
    assert len(goal) == 3
    assert goal[torch.tensor([True, False, True])].labels.tolist() == [4, 6]
    assert goal[1:].targeted
    assert goal.to(torch.device("cpu")).labels.tolist() == [4, 5, 6]


def test_wilson_interval_of_known_counts():
    """Wilson 1927 for 8 of 10: (0.4901625, 0.9433178), as statsmodels and R's prop.test without correction give."""
    low, high = Rate(8, 10).interval
    assert low == pytest.approx(0.4901625, abs=1e-6)
    assert high == pytest.approx(0.9433178, abs=1e-6)
    assert str(Rate(8, 10)) == "80.0 % [49.0, 94.3], n=10"


def test_figures_with_intervals_print_as_numbers_where_a_format_is_given():
    rate, estimate = Rate(1, 3), Estimate(0.71234, 0.6, 0.8)
    assert (f"{rate:.3f}", f"{rate:.0%}", f"{rate}") == ("0.333", "33%", str(rate))
    assert (f"{estimate:.2f}", f"{estimate}") == ("0.71", str(estimate))
    assert f"{Rate(0, 0):.1f}" == "nan"


@given(st.integers(1, 10**6).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_a_rate_lies_in_its_interval(counts):
    rate = Rate(*counts)
    low, high = rate.interval
    assert 0 <= low <= float(rate) <= high <= 1


def test_nothing_counted_says_nothing():
    assert Rate(0, 0).interval == (0.0, 1.0)
    assert float(Rate(0, 0)) != float(Rate(0, 0))


@pytest.mark.parametrize(
    ("images", "says"),
    [
        (torch.rand(1, 3, 3), "shape"),
        (torch.rand(0, 1, 3, 3), "at least one image"),
        (torch.zeros(1, 1, 3, 3, dtype=torch.uint8), "floats"),
        (torch.full((1, 1, 3, 3), float("nan")), "finite"),
        (torch.full((1, 1, 3, 3), float("inf")), "finite"),
        (torch.full((1, 1, 3, 3), -0.1), "min -0.1"),
        (torch.full((1, 1, 3, 3), 255.0), "Divide by 255"),
    ],
)
def test_images_that_cannot_be_right_are_refused(images, says):
    with pytest.raises(BadInput, match=says):
        check_images("here", images)


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        (torch.tensor([0]), "one label per image"),
        (torch.tensor([[0, 1]]), "one label per image"),
        (torch.tensor([0.0, 1.0]), "integers"),
        (torch.tensor([True, False]), "integers"),
        (torch.tensor([0, 3]), "got 3"),
        (torch.tensor([-1, 0]), "got -1"),
    ],
)
def test_labels_that_cannot_be_right_are_refused(labels, says):
    with pytest.raises(BadInput, match=says):
        check_labels("here", labels, n=2, classes=3)


def test_good_images_and_labels_pass():
    assert check_images("here", torch.rand(2, 1, 3, 3)) is None
    assert check_labels("here", torch.tensor([0, 2]), n=2, classes=3) is None
