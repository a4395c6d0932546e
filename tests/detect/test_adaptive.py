"""An attack that knows the guard evades where one that does not is caught; projections are projections."""

from dataclasses import dataclass

import pytest
import torch

from pixelproof.attacks import PGD, mount
from pixelproof.detect import DeepNeighbours, Ensemble, LogitMargin, Verdict, adapt, figures, parse
from pixelproof.detect.adaptive.aware import Aware, Target, without
from pixelproof.detect.adaptive.surrogate import SoftNeighbours, surrogate
from pixelproof.errors import BadInput

from .toys import blobs, generator, network


def test_without_leaves_nothing_along_the_other():
    one, other = (torch.randn((5, 1, 3, 3), generator=generator(seed)) for seed in (0, 1))
    rest = without(one, other)
    assert (rest * other).flatten(1).sum(1).abs().max() < 1e-5
    assert torch.allclose(without(one, torch.zeros_like(one)), one)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("rule", ["composed", "majority", "credibility"])
def test_soft_neighbours_order_images_as_the_guard_does(rule, metric):
    model = network()
    guard = DeepNeighbours(k=15, rule=rule, metric=metric).fit(model, blobs(500, spread=0.2), None, generator())
    images = blobs(200, seed=4, spread=0.3).images
    hard, soft = guard(model, images).score, SoftNeighbours(guard)(model, images).detach()
    strange, calm = hard > hard.quantile(0.8), hard <= hard.median()
    assert float(figures(soft[calm], soft[strange], resamples=1).auroc) > 0.8


@pytest.mark.parametrize("spec", ["margin", "neighbours:k=15", "mahalanobis"])
def test_knowing_the_guard_evades_it_more_often(spec):
    model, data = network(), blobs(30, seed=8)
    guard = parse(spec).fit(model, blobs(600), None, generator())
    unaware = mount(PGD(eps=0.35), model, data)
    caught = guard(model, unaware.images).alarm
    plain = int((unaware.success & ~caught).sum())
    found = adapt(guard, model, data, eps=0.35, steps=20, weights=(1.0,))
    assert found.attacks == ("orthogonal", "selective", "sum 1")
    assert found.lost.hits >= max(found.rate(name).hits for name in found.attacks)
    assert found.lost.hits > plain
    for row, (adversarial, verdict) in enumerate(zip(found.sets, found.verdicts, strict=True)):
        assert torch.equal(found.evaded[row], adversarial.success & ~verdict.alarm)
        assert float(adversarial.distance["linf"].max()) <= 0.35 + 1e-5
    fooled = torch.stack([adversarial.success for adversarial in found.sets]).any(0)
    assert torch.equal(torch.isfinite(found.score), fooled)


def test_the_attack_names_its_target_in_its_spec():
    model = network()
    guard = LogitMargin().fit(model, blobs(400), None, generator())
    adversarial = mount(Aware(Target(model, surrogate(guard), "margin"), eps=0.1, steps=3), model, blobs(10))
    assert adversarial.attack == "aware:target=margin,eps=0.1,method=orthogonal,steps=3,weight=1"


def test_a_guard_of_another_kind_has_no_surrogate():
    @dataclass(frozen=True)
    class Quiet:
        def __call__(self, model, images) -> Verdict:
            raise AssertionError

    with pytest.raises(BadInput, match="Write its surrogate"):
        surrogate(Quiet())


def test_settings_that_cannot_be_right():
    target = Target(network(), surrogate(LogitMargin().fit(network(), blobs(400), None, generator())), "margin")
    with pytest.raises(BadInput, match="weight must be positive"):
        Aware(target, 0.1, weight=0.0)
    with pytest.raises(BadInput, match="steps must be at least 1"):
        Aware(target, 0.1, steps=0)


def test_stores_that_soft_neighbours_cannot_follow():
    model = network()
    guard = DeepNeighbours(k=5).fit(model, blobs(400), None, generator())
    guard.store.remove(guard.store.origin[:1])
    with pytest.raises(BadInput, match="without removed rows"):
        SoftNeighbours(guard)(model, blobs(3).images)


def test_an_ensemble_is_followed_through_its_members():
    model = network()
    guard = Ensemble(members=("margin", "mahalanobis")).fit(model, blobs(1200, spread=0.2), None, generator())
    images = blobs(30, seed=5, spread=0.2).images.requires_grad_()
    soft = surrogate(guard)(model, images)
    assert torch.allclose(soft, guard(model, images.detach()).score, atol=1e-3)
    (gradient,) = torch.autograd.grad(soft.sum(), images)
    assert torch.isfinite(gradient).all()
    assert gradient.abs().sum() > 0
