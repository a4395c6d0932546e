"""The pooled test is significant where nothing differs; the held-out test is not, and finds what is there."""

from __future__ import annotations

import pytest
import torch
from scipy import stats

from pixelproof.errors import BadInput
from pixelproof.explain import held_out_test, null_run, pixel_test, pooled_test, twin_run, verdict


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def noise(n, seed=0):
    """Maps whose pixels are correlated within an image and unequally spread, as attributions are."""
    generator = rng(seed)
    common = torch.randn(n, 1, 1, generator=generator)
    return (torch.randn(n, 8, 8, generator=generator) + common) * torch.linspace(0.2, 2, 8)[:, None]


def moved(n, by, seed=0):
    change = noise(n, seed)
    change[:, 2, :4] += by
    return change


def test_pooled_test_is_welch_on_pooled_pixels():
    change = moved(20, 1.0)
    found = pooled_test(change, 4)
    order = change.mean(0).abs().flatten().argsort(descending=True)
    flat = change.abs().flatten(1)
    expected = stats.ttest_ind(flat[:, order[:4]].flatten(), flat[:, order[4:]].flatten(), equal_var=False)
    assert found.t == pytest.approx(expected.statistic)
    assert found.p == pytest.approx(expected.pvalue)
    assert found.observations == (80, 1200)
    assert found.means[0] == pytest.approx(float(flat[:, order[:4]].mean()))


def test_null_run_tells_the_tests_apart():
    found = null_run(noise(60), 8, runs=60, rng=rng())
    assert float(found.pooled) > 0.8
    assert found.held_out.interval[0] <= 0.05
    assert float(found.held_out) < 0.15
    assert "Clean against clean" in str(found)


def test_twins_that_do_not_move_are_called_significant_as_rarely_as_clean_images_and_moved_ones_always():
    still = twin_run(noise(60), 8, runs=60, rng=rng())
    assert float(still.held_out) < 0.15
    assert still.held_out.n == 60
    pushed = twin_run(moved(60, 2.0), 4, runs=20, rng=rng())
    assert float(pushed.held_out) == 1
    with pytest.raises(BadInput, match="at least 4 images"):
        twin_run(noise(6), 2, runs=2, rng=rng())


def test_held_out_test_finds_what_is_there():
    change = moved(60, 2.0)
    found = held_out_test(change, 4, rng())
    assert found.n == 30
    assert found.p < 0.01
    assert found.interval[0] > 0
    assert found.mean == pytest.approx(2.0, abs=0.8)
    assert found.d_z > 0.5
    again = held_out_test(change, 4, rng())
    assert found == again
    text = verdict(pooled_test(change, 4), found, null_run(noise(20), 4, runs=3, rng=rng()))
    assert "cannot be believed" in text
    assert "do move as foreseen" in text


def test_p_values_are_uniform_without_an_effect():
    values = torch.tensor([held_out_test(noise(24, seed), 5, rng(seed)).p for seed in range(120)])
    assert stats.kstest(values.numpy(), "uniform").pvalue > 0.01


def test_pixel_test_marks_the_moved_pixels_only():
    found = pixel_test(moved(60, 3.0), rng())
    truth = torch.zeros(8, 8, dtype=torch.bool)
    truth[2, :4] = True
    assert torch.equal(found.significant(), truth)
    assert (found.false_discovery[truth] < 0.05).all()
    assert (found.family_wise >= 1 / 2000).all()


def test_pixel_test_keeps_the_family_wise_rate():
    hits = sum(bool(pixel_test(noise(16, seed), rng(seed)).significant().any()) for seed in range(60))
    assert stats.binomtest(hits, 60, 0.05).pvalue > 0.01


@pytest.mark.parametrize("call", [lambda: pooled_test(noise(3), 2), lambda: held_out_test(noise(9), 65, rng())])
def test_bad_input(call):
    with pytest.raises(BadInput):
        call()


def test_too_few_images_for_a_null_run():
    with pytest.raises(BadInput, match="at least 4 images"):
        null_run(noise(6), 2, runs=2, rng=rng())
