"""compare: exact tests against enumeration, intervals against their definition, and what is refused."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch import nn

from pixelproof import measure, models
from pixelproof.attacks import FGSM, PGD
from pixelproof.data import Dataset
from pixelproof.errors import BadInput
from pixelproof.measure import Predictions, compare_methods, compare_predictions
from pixelproof.measure.significance import holm, mcnemar, nested, paired, welch


def gap_net(offset=0.0, noise=0.0):
    """Two classes told apart by x0 - x1 against an offset: an linf change of |gap - offset| / 2 flips an image."""

    class Gap(nn.Module):
        def forward(self, x):
            x = x + noise * torch.randn_like(x)
            gap = 10 * (x[:, 0, 0, 0] - x[:, 0, 0, 1] - offset)
            return torch.stack([-gap, gap], 1)

    return models.wrap(Gap(), classes=2, input_shape=(1, 1, 2)).eval()


def gap_data(gaps):
    images = torch.tensor([[[[0.5 + gap / 2, 0.5 - gap / 2]]] for gap in gaps])
    return Dataset("gaps", images, torch.tensor([int(gap > 0) for gap in gaps]), ("low", "high"))


GAPS = [-0.5, -0.3, -0.1, -0.05, 0.05, 0.1, 0.3, 0.5]


def said(right, *, condition="clean", model="a"):
    """Answers of a network that gets the marked images right."""
    right = torch.as_tensor(right)
    labels = torch.zeros(len(right), dtype=torch.long)
    index = torch.arange(len(right))
    return Predictions(model, condition, "toy", "digest", 2, index, labels, (~right).long(), (~right).float())


@pytest.mark.parametrize(("b", "c"), [(0, 0), (3, 0), (2, 5), (4, 4), (1, 9)])
def test_mcnemar_is_the_enumeration_of_coins(b, c):
    n = b + c
    heads = [sum(coins) for coins in itertools.product((0, 1), repeat=n)]
    extreme = [k for k in heads if abs(k - n / 2) >= abs(b - n / 2)]
    assert mcnemar(b, c) == pytest.approx(len(extreme) / 2**n)


def test_the_paired_interval_is_that_of_resampled_images():
    b, c, n = 12, 30, 200
    found = paired(b, c, n, seed=1)
    marks = np.array([-1] * b + [1] * c + [0] * (n - b - c))
    rng = np.random.default_rng(0)
    drawn = [rng.choice(marks, n).mean() for _ in range(4000)]
    assert found.value == pytest.approx(18 / 200)
    assert (found.low, found.high) == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.011)
    assert found.shown
    assert str(found).startswith("+9.0 pp [+")


def test_where_no_image_differs_the_interval_is_not_a_point():
    found = paired(0, 0, 100)
    assert found.value == 0.0
    assert found.high == pytest.approx(stats.binomtest(0, 100).proportion_ci(method="exact").high)
    assert found.low == -found.high
    with pytest.raises(BadInput, match="fit into"):
        paired(3, 8, 10)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_is_between_the_raw_values_and_bonferroni(p):
    adjusted = holm(p)
    assert all(raw <= new <= min(1, len(p) * raw) + 1e-12 for raw, new in zip(p, adjusted, strict=True))
    assert [new for _, new in sorted(zip(p, adjusted, strict=True))] == sorted(adjusted)


def test_holm_in_numbers():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx((0.03, 0.06, 0.06))
    assert holm([]) == ()


def test_welch_is_scipys_interval():
    first, second = [0.42, 0.47, 0.45, 0.44], [0.52, 0.50, 0.57]
    found = welch(first, second)
    expected = stats.ttest_ind(second, first, equal_var=False).confidence_interval()
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    with pytest.raises(BadInput, match="two values"):
        welch([0.4], [0.5, 0.6])


def test_two_nets_are_compared_cell_by_cell_in_closed_form():
    data = gap_data(GAPS)
    found = measure.compare(gap_net(), gap_net(0.2), data, [PGD(0.1)], [0.04, 0.1])
    clean, small, large = found.cells
    assert (clean.first.hits, clean.second.hits) == (8, 6)  # 0.05 and 0.1 lie below the second's offset
    assert (small.first.hits, small.second.hits) == (6, 6)
    assert (large.first.hits, large.second.hits) == (4, 5)  # -0.1 is farther from 0.2 than from 0; 0.3 is nearer
    assert (clean.only_first, clean.only_second) == (2, 0)
    assert (small.only_first, small.only_second) == (1, 1)
    assert clean.difference.value == pytest.approx(-0.25)
    assert clean.p == pytest.approx(0.5)
    assert all(cell.p_holm >= cell.p and not cell.significant for cell in found.cells)
    assert clean.first_scores["f1"] == 1.0
    assert clean.second_scores["recall"] == pytest.approx(0.75)
    assert large.first_scores["loss"] > clean.first_scores["loss"]
    assert small.condition.startswith("pgd:eps=0.04")


def test_many_discordant_images_are_significant_and_stay_so_after_holm():
    first, second = said([True] * 40 + [False] * 60), said([False] * 10 + [True] * 90, model="b")
    found = compare_predictions([first, first], [second, second])
    assert found.cells[0].significant
    assert found.cells[0].p_holm == pytest.approx(2 * found.cells[0].p)
    assert (found.first, found.second, found.n) == ("a", "b", 100)
    assert "at least 3 training seeds" in found.LIMIT


def test_a_random_model_answers_by_majority_and_reproducibly():
    data = gap_data(GAPS)
    runs = [measure.predictions(gap_net(noise=0.03), data, [FGSM(0.1)], [0.1], seed=4) for _ in range(2)]
    for one, other in zip(*runs, strict=True):
        assert torch.equal(one.predicted, other.predicted)
        assert torch.equal(one.loss, other.loss)
    assert runs[0][0].right[[0, 1, 6, 7]].all()


def test_other_images_are_refused():
    data = gap_data(GAPS)
    part, moved = data[:6], Dataset("gaps", data.images.flip(0), data.labels.flip(0), data.classes)
    whole, fewer, other = (measure.predictions(gap_net(), each) for each in (data, part, moved))
    with pytest.raises(BadInput, match="8 and 6 images, 6 in common"):
        compare_predictions(whole, fewer)
    with pytest.raises(BadInput, match="same positions"):
        compare_predictions(whole, other)
    with pytest.raises(BadInput, match="same conditions"):
        compare_predictions(whole, [replace(whole[0], condition="pgd")])
    with pytest.raises(BadInput, match="same conditions"):
        compare_predictions([], [])


def seeds(rates, n=400, salt=0):
    """One network per rate; which images it gets right is drawn."""
    rng = np.random.default_rng(salt)
    return [said(rng.random(n) < rate) for rate in rates]


def test_methods_are_compared_over_seeds():
    found = compare_methods(seeds([0.5, 0.52, 0.51]), seeds([0.8, 0.79, 0.81], salt=1), names=("plain", "masked"))
    assert found.enough
    assert "masked is better" in found.text
    assert found.over_seeds.low > 0.2
    assert found.nested.low > 0.2
    worse = compare_methods(seeds([0.8, 0.79, 0.81]), seeds([0.5, 0.52, 0.51], salt=1), names=("plain", "masked"))
    assert "plain is better" in worse.text


def test_a_gain_within_the_spread_of_seeds_is_not_shown():
    found = compare_methods(seeds([0.3, 0.5, 0.7]), seeds([0.35, 0.55, 0.75], salt=1), names=("plain", "masked"))
    assert "no difference" in found.text


@pytest.mark.parametrize(("a", "b"), [(1, 1), (2, 3), (3, 2)])
def test_fewer_than_three_seeds_say_nothing_about_a_method(a, b):
    found = compare_methods(seeds([0.2] * a), seeds([0.9] * b, salt=1), names=("plain", "masked"))
    assert not found.enough
    assert "not two methods: at least 3 seeds" in found.text
    assert "better" not in found.text


def test_nested_intervals_know_of_images_and_of_seeds():
    same = np.ones((3, 50), dtype=bool)
    half = np.arange(50) < 25
    images_only = nested(np.stack([half] * 3), np.stack([~half] * 3))
    assert images_only.low < -0.2 < 0.2 < images_only.high
    apart = nested(same, np.stack([half, same[0], ~same[0]]))
    assert apart.low < -0.6
    with pytest.raises(BadInput, match="same images"):
        nested(same, same[:, :10])
    with pytest.raises(BadInput, match="same condition"):
        compare_methods([said([True])], [said([True], condition="pgd")], names=("a", "b"))
