"""Every figure agrees with scikit-learn's, chance gives chance, and the controls are what they say."""

import dataclasses

import numpy as np
import pytest
import torch
from scipy.optimize import brentq
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from pixelproof import lp
from pixelproof.attacks import PGD, mount
from pixelproof.detect import (
    DeepNeighbours,
    Ensemble,
    LogitMargin,
    evaluate,
    figures,
    matched_noise,
    natural_errors,
    roc,
)
from pixelproof.detect.evaluation.evaluate import alarms_on_clean, on_clean, second_class
from pixelproof.detect.evaluation.noise import KINDS
from pixelproof.errors import BadInput, UnknownName

from .toys import blobs, generator, network


def scores(n: int, m: int, seed: int, levels: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    clean, attacked = torch.randn(n, generator=generator(seed)), 0.8 + torch.randn(m, generator=generator(seed + 1))
    return (clean, attacked) if not levels else ((clean * levels).round(), (attacked * levels).round())


@pytest.mark.parametrize("levels", [0, 3], ids=["distinct", "ties"])
@pytest.mark.parametrize(("n", "m"), [(200, 150), (31, 700)])
def test_figures_agree_with_scikit_learn(n, m, levels):
    clean, attacked = scores(n, m, 5, levels)
    found = figures(clean, attacked, resamples=10)
    truth, values = torch.cat([torch.zeros(n), torch.ones(m)]), torch.cat([clean, attacked])
    fpr, tpr, _ = roc_curve(truth, values, drop_intermediate=False)
    assert float(found.auroc) == pytest.approx(roc_auc_score(truth, values))
    assert float(found.aupr) == pytest.approx(average_precision_score(truth, values))
    assert float(found.fpr95) == pytest.approx(fpr[tpr >= 0.95 - 1e-12].min())
    assert float(found.tpr1) == pytest.approx(tpr[fpr <= 0.01 + 1e-12].max())
    assert float(found.tpr5) == pytest.approx(tpr[fpr <= 0.05 + 1e-12].max())
    assert float(found.accuracy) == pytest.approx(((tpr + 1 - fpr) / 2).max())
    meeting = brentq(lambda x: 1 - x - np.interp(x, fpr, tpr), 0, 1)
    assert float(found.eer) == pytest.approx(meeting, abs=1e-4)
    curve = roc(clean, attacked)
    assert curve.fpr.tolist() == pytest.approx(fpr.tolist())
    assert curve.tpr.tolist() == pytest.approx(tpr.tolist())


def test_the_equal_error_rate_in_closed_form():
    clean, attacked = torch.arange(10.0), torch.arange(10.0) + 8  # 8 and 9 are clean and attacked once each
    assert float(figures(clean, attacked, resamples=1).eer) == pytest.approx(0.1)
    assert float(figures(clean, clean, resamples=1).eer) == pytest.approx(0.5)
    assert float(figures(clean, clean + 20, resamples=1).eer) == 0


def test_shuffled_labels_give_chance():
    values = torch.cat(scores(600, 600, 1))[torch.randperm(1200, generator=generator())]
    found = figures(values[:600], values[600:])
    assert found.auroc.low < 0.5 < found.auroc.high
    assert abs(float(found.auroc) - 0.5) < 0.05


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    truth = 0.714  # P(N(0.8, 1) > N(0, 1)) = Phi(0.8 / sqrt 2)
    inside = 0
    for seed in range(40):
        found = figures(*scores(80, 80, 1000 + 2 * seed), resamples=200).auroc
        inside += found.low <= truth <= found.high
    assert 33 <= inside <= 40


def test_intervals_depend_on_the_seed_only():
    pair = scores(50, 60, 3)
    assert figures(*pair, seed=1) == figures(*pair, seed=1)
    assert figures(*pair, seed=1) != figures(*pair, seed=2)


def test_an_empty_side_and_nan_are_refused():
    with pytest.raises(BadInput, match="both clean and attacked"):
        figures(torch.rand(5), torch.empty(0))
    with pytest.raises(BadInput, match="finite"):
        figures(torch.rand(5), torch.tensor([0.1, float("nan")]))


def test_matched_noise_has_the_norms_of_the_perturbation():
    clean = torch.full((6, 3, 8, 8), 0.5)
    delta = torch.zeros_like(clean)
    delta[:, :, 2, 3] = torch.tensor([0.1, -0.2, 0.3])
    delta[3:] += 0.05 * torch.randn(3, 3, 8, 8, generator=generator())
    noisy = matched_noise(clean, clean + delta, generator())
    assert not torch.allclose(noisy, clean + delta)
    for kind in ("l0", "l1", "l2", "linf"):
        assert torch.allclose(lp.norm(noisy - clean, kind), lp.norm(delta, kind), atol=1e-5)


@pytest.mark.parametrize("norm", ["l2", "linf", "l1"])
@pytest.mark.parametrize("kind", KINDS)
def test_matched_noise_is_as_large_as_the_attack_turned_out_after_clipping(kind, norm):
    clean = torch.zeros(5, 1, 12, 12)
    clean[:, :, 3:9, 3:9] = torch.rand(5, 1, 6, 6, generator=generator(1))
    attacked = (clean + 0.3 * torch.randn(clean.shape, generator=generator(2))).clamp(0, 1)
    attacked[0] = clean[0] + 0.3 * (attacked[0] - clean[0])
    noisy = matched_noise(clean, attacked, generator(), kind=kind, norm=norm)
    assert noisy.min() >= 0
    assert noisy.max() <= 1
    torch.testing.assert_close(lp.norm(noisy - clean, norm), lp.norm(attacked - clean, norm), rtol=1e-4, atol=0)
    again = matched_noise(clean, attacked, generator(), kind=kind, norm=norm)
    assert torch.equal(noisy, again)
    correlation = torch.corrcoef(torch.stack([(noisy - clean).flatten(), (attacked - clean).flatten()]))[0, 1]
    assert abs(float(correlation)) < 0.6  # both push a black border up; nothing else is shared


def test_matched_noise_of_no_attack_is_nothing_and_of_one_pixel_is_one_pixel():
    clean = torch.zeros(4, 1, 6, 6)
    assert torch.equal(matched_noise(clean, clean, generator(), kind="sign"), clean)
    attacked = clean.clone()
    attacked[:, :, 2, 2] = 0.7
    noisy = matched_noise(clean, attacked, generator())  # half of the signs would be clipped away
    torch.testing.assert_close(noisy.flatten(1).amax(1), torch.full((4,), 0.7))
    assert (lp.norm(noisy, "l0") == 1).all()


def test_an_unknown_kind_of_noise_is_named():
    with pytest.raises(UnknownName, match="kind"):
        matched_noise(torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2), generator(), kind="pink")


def test_an_evaluation_counts_what_it_says():
    model, clean = network(), blobs(500, seed=21)
    adversarial = mount(PGD(eps=0.12), model, blobs(300, seed=22))
    guard = LogitMargin().fit(model, blobs(800), None, generator())
    found = evaluate(guard, model, clean, adversarial)
    hit = adversarial.success
    assert found.figures.attacked == int(hit.sum()) == found.alarms.n == found.second.n
    right = model.predict(clean.images).argmax(1) == clean.labels
    assert found.figures.clean == int(right.sum())
    assert found.figures_all.clean == found.false_alarms.n == 500
    alarms = guard(model, adversarial.images).alarm
    assert found.alarms.hits == int((alarms & hit).sum())
    assert found.rejected_or_right.hits == int((alarms | ~hit).sum())
    assert found.recovered is None  # the margin names no class; that is not 0 % right
    assert found.recovered_alarmed is None
    second = adversarial.logits.sort(1, descending=True).indices[:, 1]
    assert found.second.hits == int((second == adversarial.labels)[hit].sum())
    assert found.noise is not None
    assert float(found.noise) > 0.5
    assert found.seconds_per_image > 0


@pytest.mark.parametrize(
    "detector",
    [DeepNeighbours(k=9), Ensemble(members=("margin", "neighbours:k=9"))],
    ids=["neighbours", "an ensemble with neighbours"],
)
def test_a_guard_that_names_classes_has_its_share_of_right_ones(detector):
    model = network()
    adversarial = mount(PGD(eps=0.12), model, blobs(100, seed=22))
    found = evaluate(detector.fit(model, blobs(800), None, generator()), model, blobs(100, seed=21), adversarial)
    assert found.recovered is not None
    assert found.recovered.n == int(adversarial.success.sum())


def test_an_ensemble_of_guards_that_name_no_class_names_none():
    model = network()
    verdict = Ensemble(members=("margin", "softmax")).fit(model, blobs(800), None, generator())(model, blobs(5).images)
    assert not verdict.recovers


def test_false_alarms_are_over_all_clean_images():
    model, clean = network(), blobs(500, seed=21, spread=0.3)
    guard = LogitMargin().fit(model, blobs(800), None, generator())
    verdict, right = on_clean(guard, model, clean)
    counted = alarms_on_clean(verdict, right)
    assert 0 < int(right.sum()) < 500
    assert counted.false_alarms.n == 500
    assert counted.false_alarms.hits == int(verdict.alarm.sum()) == counted.on_right.hits + counted.on_wrong.hits
    assert counted.on_right.n == int(right.sum())


def test_the_second_class_is_never_the_predicted_one():
    generator_ = generator()
    for classes in (2, 5, 10, 40):
        logits = torch.randint(3, (200, classes), generator=generator_).float()  # full of ties
        second = second_class(logits)
        predicted = logits.argmax(1)
        assert (second != predicted).all()
        others = logits.scatter(1, predicted[:, None], -torch.inf).amax(1)
        assert torch.equal(logits.gather(1, second[:, None])[:, 0], others)
    assert second_class(torch.tensor([[5.0, 5.0, 0.0]])).tolist() == [1]


def test_a_guard_that_is_worse_than_chance_is_remarked_on():
    model = network()
    adversarial = mount(PGD(eps=0.12), model, blobs(200, seed=22))
    guard = LogitMargin().fit(model, blobs(800), None, generator())
    seen = evaluate(guard, model, blobs(200, seed=21), adversarial)
    assert seen.remark == ""
    poor = dataclasses.replace(seen, figures=figures(torch.arange(50.0) + 30, torch.arange(50.0), resamples=50))
    assert "Worse than chance" in poor.remark


def test_natural_errors_have_their_own_row():
    model, clean = network(), blobs(900, seed=23, spread=0.3)
    guard = LogitMargin().fit(model, blobs(800), None, generator())
    found = natural_errors(guard, model, clean)
    assert found.attacked == int((model.predict(clean.images).argmax(1) != clean.labels).sum())
    assert float(found.auroc) > 0.7  # the margin sees errors, attacked or not


def test_an_attack_without_success_cannot_be_judged():
    model = network()
    guard = LogitMargin().fit(model, blobs(400), None, generator())
    with pytest.raises(BadInput, match="at least one successful attack"):
        evaluate(guard, model, blobs(50), mount(PGD(eps=0.0, steps=1), model, blobs(50)))
