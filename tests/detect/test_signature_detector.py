"""The signature detector: it tells attacks from clean images and from noise, splits by image, and can be followed."""

from functools import lru_cache

import pytest
import torch

from pixelproof import attacks, data, models
from pixelproof.attacks import PGD, mount
from pixelproof.detect import SignatureDetector, figures, matched_noise, parse
from pixelproof.detect.detectors.evidence import (
    Evidence,
    PixelSignature,
    SlopePoint,
    above,
    attributed,
    binomial,
    median,
    one_bit,
    residual_evidence,
)
from pixelproof.detect.detectors.heads import Head, Scale, fit_line, fit_network, soft_clamp
from pixelproof.detect.detectors.signature import rows_of
from pixelproof.errors import BadInput
from pixelproof.models import Training, frozen

from .toys import generator, network

KINDS = ("statistics", "network")


@lru_cache
def case():
    """A small net on the digits; 240 test images to fit on and 160 to judge, attacked by PGD."""
    model = models.load("mlp", data=data.load("digits"), training=Training(epochs=15, batch=64))
    test = data.load("digits", "test").sample(360)
    fit, judge = test[:200], test[200:]
    return model, fit, judge, mount(PGD(0.15, steps=6), model, fit), mount(PGD(0.15, steps=6), model, judge)


@pytest.mark.parametrize("kind", KINDS)
def test_attacks_are_told_from_clean_images(kind):
    model, fit, judge, attacked, unseen = case()
    guard = SignatureDetector(kind=kind).fit(model, fit, attacked, generator())
    clean, strange = guard(model, judge.images), guard(model, unseen.images)
    assert float(figures(clean.score, strange.score[unseen.success], resamples=10).auroc) > 0.8
    assert clean.alarm.float().mean() < 0.25


def test_statistics_tell_attacks_from_noise_of_the_same_size():
    model, fit, _, attacked, unseen = case()
    guard = SignatureDetector().fit(model, fit, attacked, generator())
    noise = guard(model, matched_noise(unseen.clean, unseen.images, generator())).score
    found = figures(noise, guard(model, unseen.images).score[unseen.success], resamples=10)
    assert float(found.auroc) > 0.85


def test_the_same_generator_gives_the_same_guard():
    model, fit, judge, attacked, _ = case()
    first, second = (SignatureDetector(kind="network").fit(model, fit, attacked, generator(4)) for _ in range(2))
    assert torch.equal(first(model, judge.images).score, second(model, judge.images).score)


def test_too_few_adversarial_images_are_counted():
    model, fit, *_ = case()
    with pytest.raises(BadInput, match=r"at least 20 successful.*got 0"):
        SignatureDetector().fit(model, fit, None, generator())
    few = mount(PGD(0.15, steps=6), model, fit[:12])
    with pytest.raises(BadInput, match=r"at least 20 successful.*got \d+\."):
        SignatureDetector().fit(model, fit, few, generator())


def test_too_few_clean_images_cannot_be_calibrated():
    model, fit, _, attacked, _ = case()
    with pytest.raises(BadInput, match="99 calibration images"):
        SignatureDetector(rate=0.01).fit(model, fit, attacked, generator())


@pytest.mark.parametrize("spec", ["signature:kind=none", "signature:background=0", "signature:epochs=0"])
def test_settings_are_checked(spec):
    with pytest.raises(BadInput):
        parse(spec)


@pytest.mark.parametrize("kind", [PixelSignature, Evidence])
def test_the_score_has_a_gradient_and_the_same_value_with_it(kind):
    model, fit, judge, _, _ = case()
    signature, images = kind(fit.images[:5]), judge.images[:6].clone()
    plain = rows_of(signature, model, images)
    with frozen(model):
        leaf = images.requires_grad_()
        rows = signature(model, leaf)
        torch.testing.assert_close(rows.detach(), plain, atol=1e-4, rtol=1e-3)
        slope = torch.autograd.grad(rows.sum(), leaf)[0]
    assert torch.isfinite(slope).all()
    assert slope.abs().sum() > 0


def test_no_column_of_the_evidence_is_a_dead_end_for_an_attacker():
    model, fit, judge, _, _ = case()
    signature, images = Evidence(fit.images[:5]), judge.images[:4].clone()
    with frozen(model):
        leaf = images.requires_grad_()
        rows = signature(model, leaf)
        slopes = [torch.autograd.grad(column.sum(), leaf, retain_graph=True)[0] for column in rows.unbind(1)]
    dead = [number for number, slope in enumerate(slopes) if not slope.any()]
    assert dead == []


def test_rounding_has_the_value_of_a_step_and_the_slope_of_a_sigmoid():
    images = torch.tensor([[[[0.1, 0.45, 0.55, 0.9]]]]).requires_grad_()
    rounded = one_bit(images)
    torch.testing.assert_close(rounded.detach(), torch.tensor([[[[0.0, 0.0, 1.0, 1.0]]]]))
    (slope,) = torch.autograd.grad(rounded.sum(), images)
    assert (slope > 0.1).all()
    assert slope[0, 0, 0, 1] > slope[0, 0, 0, 0]
    shares = torch.tensor([[-1.0, 0.5, 2.0]]).requires_grad_()
    torch.testing.assert_close(above(shares).detach(), torch.tensor([[0.0, 1.0, 1.0]]))
    assert (torch.autograd.grad(above(shares).sum(), shares)[0] > 0).all()


def test_the_soft_clamp_is_bounded_ordered_and_has_a_slope_everywhere():
    values = torch.linspace(-80, 80, 201).requires_grad_()
    found = soft_clamp(values)
    assert found.abs().max() < 8
    assert (found.diff() > 0).all()
    assert (torch.autograd.grad(found.sum(), values)[0] > 1e-4).all()
    inner = values.abs() < 1
    torch.testing.assert_close(found[inner], values[inner], rtol=0.01, atol=0)


def test_on_a_linear_stretch_the_residual_carries_what_smoothing_changes():
    model = network()
    images = torch.full((1, 1, 2, 2), 0.5)
    same = residual_evidence(model, SlopePoint.at(model, images), lambda batch: batch)
    assert same[0, [1, 2, 5, 6, 10]].abs().max() < 1e-6
    moved = images + torch.tensor([[[[1e-3, 0.0], [0.0, -1e-3]]]])
    logits = model(moved).detach()
    row = residual_evidence(model, SlopePoint.at(model, moved), lambda batch: images.expand_as(batch))[0]
    best, rival = logits[0].topk(2).indices
    change = (logits - model(images))[0]
    torch.testing.assert_close(row[1], change[best] - change[rival], atol=1e-5, rtol=1e-2)


def test_smoothers_on_known_images():
    spike = torch.zeros(1, 2, 5, 5)
    spike[:, :, 2, 2] = 1
    assert not median(spike).any()
    assert binomial(spike)[0, 1, 1:4, 1:4].tolist() == [
        [0.0625, 0.125, 0.0625],
        [0.125, 0.25, 0.125],
        [0.0625, 0.125, 0.0625],
    ]
    flat = torch.full((1, 1, 4, 4), 0.3)
    torch.testing.assert_close(binomial(flat), flat)


def test_heads_find_a_line_and_report_their_epochs():
    rng = generator()
    rows = torch.randn(200, 3, generator=rng)
    wanted = rows[:, 1] > 0
    line = fit_line(rows[:100], wanted[:100])
    assert ((line(rows[100:]) > 0) == wanted[100:]).float().mean() > 0.9
    network_head, history = fit_network(rows[:100], wanted[:100], epochs=30, rng=rng, held=(rows[100:], wanted[100:]))
    assert history.training.shape == history.validation.shape == (30,)
    assert history.validation[-1] == ((network_head(rows[100:]) > 0) == wanted[100:]).float().mean()
    assert history.validation[-1] > 0.9


def test_a_constant_column_and_a_huge_value_are_harmless():
    rows = torch.tensor([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0]])
    scaled = Scale.of(rows)(torch.tensor([[1.0, 1e30]]))
    assert scaled.tolist() == [[0.0, pytest.approx(8.0, abs=0.05)]]
    assert isinstance(fit_line(rows, torch.tensor([False, True, True])), Head)


def test_attributions_are_deep_shap():
    from pixelproof.explain import DeepShap

    model, fit, judge, _, _ = case()
    images, classes = judge.images[:4], torch.tensor([0, 1, 2, 3])
    expected = DeepShap(fit.images[:5])(model, images, classes, generator()).values
    torch.testing.assert_close(attributed(fit.images[:5], model, SlopePoint.at(model, images), classes), expected)


def test_it_is_listed_under_its_name():
    assert parse("signature:kind=network,epochs=3") == SignatureDetector(kind="network", epochs=3)
    assert attacks.parse("critical:eps=0.1").name == "critical"
