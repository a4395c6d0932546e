"""Calibration keeps its promise, the two parts of clean data never share an image, a guard refuses another model."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import betabinom

from pixelproof.attacks import PGD, mount
from pixelproof.detect import DETECTORS, Calibration, LogitMargin, MaxSoftmax, divide
from pixelproof.detect.guards.guard import NONE
from pixelproof.errors import BadInput

from .toys import blobs, generator, network


@given(st.lists(st.integers(0, 6), min_size=19, max_size=60), st.lists(st.integers(-2, 9), min_size=1, max_size=9))
@settings(max_examples=60, deadline=None)
def test_an_alarm_is_a_p_value_of_at_most_the_rate_with_ties(calibration, scores):
    held = Calibration(torch.tensor(calibration, dtype=torch.float32), 0.1)
    verdict = held.judge(torch.tensor(scores, dtype=torch.float32))
    expected = [(sum(c >= s for c in calibration) + 1) / (len(calibration) + 1) for s in scores]
    assert verdict.p_value.tolist() == pytest.approx(expected)
    assert verdict.alarm.tolist() == [p <= 0.1 + 1e-9 for p in expected]
    assert verdict.alarm.tolist() == (verdict.score > verdict.threshold).tolist()


@given(st.lists(st.floats(-3, 3, width=32), min_size=39, max_size=80), st.lists(st.floats(-9, 9, width=32), min_size=1))
@settings(max_examples=60, deadline=None)
def test_two_sided_alarms_for_low_scores_too(calibration, scores):
    held = Calibration(torch.tensor(calibration), 0.05, two_sided=True)
    verdict = held.judge(torch.tensor(scores))
    n = len(calibration)
    above = [(sum(c >= s for c in calibration) + 1) / (n + 1) for s in scores]
    below = [(sum(c <= s for c in calibration) + 1) / (n + 1) for s in scores]
    expected = [min(1.0, 2 * min(pair)) for pair in zip(above, below, strict=True)]
    assert verdict.p_value.tolist() == pytest.approx(expected)
    assert verdict.alarm.tolist() == [p <= 0.05 + 1e-9 for p in expected]


def test_the_threshold_of_a_hundred_scores():
    scores = torch.arange(100.0)[torch.randperm(100, generator=generator())]
    assert Calibration(scores, 0.05).limits == (-math.inf, 95.0)  # 5 of 101 places lie above: 96, 97, 98, 99, beyond
    low, high = Calibration(scores, 0.1, two_sided=True).limits
    assert (low, high) == (4.0, 95.0)


@pytest.mark.parametrize(("rate", "two_sided", "needed"), [(0.01, False, 99), (0.05, False, 19), (0.05, True, 39)])
def test_too_few_calibration_images_are_counted(rate, two_sided, needed):
    Calibration(torch.rand(needed), rate, two_sided)
    with pytest.raises(BadInput, match=rf"at least {needed} calibration images; got {needed - 1}"):
        Calibration(torch.rand(needed - 1), rate, two_sided)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_scores_that_are_not_finite_are_refused(bad):
    with pytest.raises(BadInput, match="1 of 30"):
        Calibration(torch.cat([torch.rand(29), torch.tensor([bad])]), 0.05)
    with pytest.raises(BadInput, match="finite"):
        Calibration(torch.rand(30), 0.05).judge(torch.tensor([0.1, bad]))


def test_a_rate_outside_zero_and_one_is_refused():
    with pytest.raises(BadInput, match=r"\(0, 1\)"):
        Calibration(torch.rand(30), 0.0)


def test_the_two_parts_share_no_image_and_keep_class_shares():
    clean = blobs(400)
    fitted, held = divide(clean, generator(3))
    assert sorted([*fitted.index.tolist(), *held.index.tolist()]) == list(range(400))
    assert len(held) == 100
    for name, count in clean.class_counts().items():
        assert abs(held.class_counts()[name] - count / 4) <= 1
    again = divide(clean, generator(3))[1]
    assert torch.equal(held.index, again.index)
    assert not torch.equal(held.index, divide(clean, generator(4))[1].index)


def test_copies_of_an_image_stay_together():
    clean = blobs(200)
    rows = torch.cat([torch.arange(200), torch.arange(50)])
    fitted, held = divide(clean[rows], generator(), share=0.5)
    assert set(fitted.index.tolist()).isdisjoint(held.index.tolist())


def test_one_image_cannot_be_divided():
    with pytest.raises(BadInput, match="enough to fit and to calibrate"):
        divide(blobs(1), generator())


@pytest.mark.parametrize("name", DETECTORS)
@pytest.mark.parametrize("seed", [0, 1])
def test_false_alarms_on_fresh_images_lie_in_their_interval(name, seed):
    """Scores above the r-th highest of n calibration scores: their count among fresh ones is beta-binomial."""
    model, fresh = network(seed), blobs(1500, seed=seed + 50, spread=0.3)
    guard = DETECTORS[name]().fit(model, blobs(1600, seed=seed, spread=0.3), None, generator(seed))
    n = len(guard.calibration.scores)
    beyond = math.floor(guard.calibration.rate * (n + 1))
    low, high = betabinom.interval(0.999, len(fresh), beyond, n + 1 - beyond)
    assert low <= int(guard(model, fresh.images).alarm.sum()) <= high


def test_scores_of_the_baselines_in_closed_form():
    model, fresh = network(), blobs(40, seed=5)
    logits = model.predict(fresh.images)
    top = logits.sort(1, descending=True).values
    margin = LogitMargin().fit(model, blobs(400), None, generator())(model, fresh.images)
    assert torch.allclose(margin.score, top[:, 1] - top[:, 0], atol=1e-5)
    softmax = MaxSoftmax().fit(model, blobs(400), None, generator())(model, fresh.images)
    assert torch.allclose(softmax.score.exp(), 1 - logits.softmax(1).amax(1), atol=1e-5)
    assert (softmax.recovered == NONE).all()
    assert softmax.evidence == ()


def test_a_guard_refuses_another_model_and_a_changed_one():
    model, clean = network(), blobs(400)
    guard = LogitMargin().fit(model, clean, None, generator())
    guard(model, clean.images)
    guard(network(), clean.images)  # equal weights are the same model
    with pytest.raises(BadInput, match="fitted on"):
        guard(network(seed=1), clean.images)
    with torch.no_grad():
        next(model.parameters()).add_(0.1)
    with pytest.raises(BadInput, match="fitted on"):
        guard(model, clean.images)


def test_images_of_another_shape_are_refused_at_the_fit():
    with pytest.raises(BadInput, match="expects images"):
        LogitMargin().fit(network(), _wide(), None, generator())


def _wide():
    from pixelproof.data import Dataset

    return Dataset("wide", torch.rand(100, 1, 3, 3), torch.arange(100) % 3, ("a", "b", "c"))


def test_held_out_images_move_the_threshold():
    model = network()
    guard = LogitMargin().fit(model, blobs(400), None, generator())
    other = guard.calibrated(model, blobs(999, seed=7), rate=0.01)
    assert other.calibration.rate == 0.01
    assert len(other.calibration.scores) == 999
    assert other.calibration.limits[1] > guard.calibration.limits[1]


def test_mode_and_gradients_are_kept():
    model = network()
    guard = LogitMargin().fit(model, blobs(400), None, generator())
    model.train()
    guard(model, blobs(20).images)
    assert model.training
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_attacked_images_are_alarmed_more_often_than_clean_ones():
    model = network()
    adversarial = mount(PGD(eps=0.15), model, blobs(200, seed=8))
    guard = LogitMargin().fit(model, blobs(800), None, generator())
    caught = guard(model, adversarial.images[adversarial.success]).alarm.float().mean()
    assert caught > guard(model, blobs(200, seed=8).images).alarm.float().mean()


@pytest.mark.parametrize("two_sided", [False, True])
def test_constant_scores_alarm_for_nothing_that_is_like_them(two_sided):
    """A dead detector: its threshold is the score that all clean images have, and a tie counts against an alarm."""
    calibration = Calibration(torch.full((60,), 0.25), 0.05, two_sided)
    verdict = calibration.judge(torch.tensor([0.25, 0.25, 0.75]))
    assert verdict.alarm.tolist() == [False, False, True]
    assert torch.isfinite(verdict.score).all()
    assert verdict.p_value[:2].tolist() == [1.0, 1.0]
    assert torch.equal(verdict.alarm, verdict.score > verdict.threshold)
