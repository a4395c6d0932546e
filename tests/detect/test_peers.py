"""Every detector keeps the contract; every score is what its formula says."""

import math

import pytest
import torch
from scipy.spatial.distance import jensenshannon
from scipy.stats import betabinom
from sklearn.covariance import LedoitWolf
from sklearn.neighbors import KernelDensity as SkKernelDensity

from pixelproof import models
from pixelproof.attacks import PGD, mount
from pixelproof.data import Dataset
from pixelproof.detect import DETECTORS, Detector, Ensemble, Guard, Scorer, figures, parse
from pixelproof.detect.detectors.consistency import Drift, Transformed, Turning, drift
from pixelproof.detect.detectors.density import log_density
from pixelproof.detect.detectors.distance import dimension
from pixelproof.detect.detectors.ensemble import Surprise
from pixelproof.detect.detectors.mahalanobis import Gaussian
from pixelproof.detect.detectors.reconstruction import divergence
from pixelproof.detect.detectors.spectral import energies
from pixelproof.detect.detectors.squeezing import fewer_bits, median
from pixelproof.errors import BadInput, UnknownName

from .toys import blobs, generator, network

SPECS = [
    *(name for name in DETECTORS if name != "ensemble"),
    "neighbours:rule=any",
    "mahalanobis:kind=relative",
    "reconstruction:by=error",
    "ensemble:members=margin|noise",
    "ensemble:members=margin|noise,how=max",
]


@pytest.mark.parametrize("spec", SPECS)
def test_contract(spec):
    """Fits, judges any batch alike, is deterministic, leaves the model alone, keeps its false-alarm rate."""
    model, clean, fresh = network(), blobs(1200, seed=1, spread=0.3), blobs(400, seed=2, spread=0.3)
    before = model.digest()
    model.train()
    detector = parse(spec)
    assert isinstance(detector, Detector)
    guard = detector.fit(model, clean, None, generator(4))
    assert isinstance(guard, Guard)
    verdict = guard(model, fresh.images)
    assert model.training
    assert model.digest() == before
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())
    assert verdict.score.shape == verdict.alarm.shape == verdict.recovered.shape == (400,)
    assert torch.equal(verdict.alarm, verdict.score.double() > verdict.threshold) or _on_the_edge(verdict)
    assert torch.equal(verdict.alarm, verdict.p_value <= guard.calibration.rate + 1e-6)
    part = guard(model, fresh.images[:3])
    assert torch.allclose(part.score, verdict.score[:3], rtol=1e-3, atol=1e-4)
    again = parse(spec).fit(model, clean, None, generator(4))
    assert torch.equal(again(model, fresh.images).score, verdict.score)
    n = len(guard.calibration.scores)
    beyond = math.floor(0.05 * (n + 1))
    assert int(verdict.alarm.sum()) <= betabinom.ppf(0.9999, 400, beyond, n + 1 - beyond)
    with pytest.raises(BadInput, match="fitted on"):
        guard(network(seed=3), fresh.images)


def _on_the_edge(verdict):
    """Whether rounding the score to float32 is all that separates alarm and comparison."""
    wrong = verdict.alarm != (verdict.score.double() > verdict.threshold)
    return bool(((verdict.score[wrong] - verdict.threshold).abs() < 1e-5 * (1 + abs(verdict.threshold))).all())


@pytest.mark.parametrize("spec", [spec for spec in SPECS if not spec.startswith(("neighbours", "ensemble", "repair"))])
def test_scorers_can_be_followed_by_gradient(spec):
    model = network()
    guard = parse(spec).fit(model, blobs(400, spread=0.2), None, generator())
    assert isinstance(guard.scorer, Scorer)
    images = blobs(12, seed=3, spread=0.2).images.requires_grad_()
    score = guard.scorer(model, images)
    (gradient,) = torch.autograd.grad(score.sum(), images)
    assert torch.isfinite(gradient).all()
    assert gradient.abs().sum() > 0
    assert torch.allclose(guard.calibration.fold(score.detach()), guard(model, images.detach()).score, atol=1e-4)


@pytest.mark.parametrize(
    ("spec", "match"),
    [
        ("squeezing:bits=0", r"bits must lie in 1\.\.8"),
        ("squeezing:window=-1", "window"),
        ("lid:k=1", "k must lie in 2"),
        ("distance:k=0", "k must lie in 1"),
        ("density:bandwidth=0", "bandwidth must lie in"),
        ("reconstruction:epochs=0", "epochs must lie in 1"),
        ("noise:sigma=0", "sigma must lie in"),
        ("gradient:draws=0", "draws must lie in 1"),
        ("spectral:bands=0", "bands must lie in 1"),
        ("ensemble:members=ensemble", "members other than itself"),
    ],
)
def test_settings_that_cannot_be_right(spec, match):
    with pytest.raises(BadInput, match=match):
        parse(spec)


def test_unknown_names_are_suggested():
    with pytest.raises(UnknownName, match="Did you mean 'mahalanobis'"):
        parse("mahalonobis")
    with pytest.raises(UnknownName, match="expected a known detector"):
        Ensemble(members=("margin", "nothing")).fit(network(), blobs(400), None, generator())


def test_mahalanobis_agrees_with_scikit_learn():
    rows = torch.randn((300, 5), generator=generator()) * torch.arange(1.0, 6) + 2
    labels = torch.arange(300) % 3
    means = torch.stack([rows[labels == label].mean(0) for label in range(3)])
    fitted = LedoitWolf(assume_centered=True).fit((rows - means[labels]).double().numpy())
    queries = torch.randn((20, 5), generator=generator(1))
    expected = [fitted.mahalanobis((queries - mean).double().numpy()) for mean in means]
    found = Gaussian.of(rows, means, labels).nearest(queries)
    assert found.tolist() == pytest.approx(list(map(min, zip(*expected, strict=True))), rel=1e-4)


def test_density_agrees_with_scikit_learn():
    rows, queries = torch.randn((80, 4), generator=generator()), torch.randn((9, 4), generator=generator(1))
    expected = SkKernelDensity(bandwidth=0.7).fit(rows.numpy()).score_samples(queries.numpy())
    constant = 4 / 2 * math.log(2 * math.pi * 0.7**2)
    assert (log_density(queries, rows, 0.7) - constant).tolist() == pytest.approx(expected.tolist(), abs=1e-4)


def test_local_dimension_of_a_known_ball():
    """Distances to the origin of a uniform ball in d dimensions have dimension d."""
    for d in (2, 5):
        radii = torch.rand((400, 200), generator=generator()).pow(1 / d).sort(1).values
        assert float(dimension(radii).mean()) == pytest.approx(d, rel=0.02)
    assert torch.isfinite(dimension(torch.zeros(1, 5))).all()


def test_squeezers_in_closed_form():
    images = torch.tensor([[[[0.0, 0.2, 0.4], [0.6, 0.8, 1.0], [0.1, 0.49, 0.51]]]])
    assert torch.equal(fewer_bits(images, 1), (images > 0.5).float())
    assert torch.equal(fewer_bits(images, 8), (images * 255).round() / 255)
    assert float(median(images, 3)[0, 0, 1, 1]) == pytest.approx(0.49)
    assert float(median(images, 2)[0, 0, 0, 0]) == pytest.approx(0.2)  # of 0, 0.2, 0.6, 0.8 the lower middle one


def test_a_single_bright_pixel_does_not_survive_the_median():
    images = torch.full((1, 3, 8, 8), 0.5)
    images[0, :, 4, 4] = 1.0
    assert torch.allclose(median(images, 2), torch.full_like(images, 0.5))


def test_divergence_agrees_with_scipy():
    one, other = torch.randn((6, 4), generator=generator()), torch.randn((6, 4), generator=generator(1))
    expected = [jensenshannon(p, q) ** 2 for p, q in zip(one.softmax(1).numpy(), other.softmax(1).numpy(), strict=True)]
    assert divergence(one, other).tolist() == pytest.approx(expected, abs=1e-5)
    assert divergence(one, one).abs().max() < 1e-6


def test_a_linear_network_is_consistent():
    """Its logits move by the same amount under the same noise, its input gradient turns only with the softmax."""
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 3))
    model = models.wrap(net, classes=3, input_shape=(1, 2, 2)).eval()
    images, noise = torch.rand((5, 1, 2, 2), generator=generator()), torch.randn((1, 1, 2, 2), generator=generator(1))
    moved, own = drift(model, images, noise)
    change = (noise.flatten(1) @ net[1].weight.T)[0]
    assert torch.allclose(moved, change - change[own][:, None], atol=1e-5)
    mean, spread = torch.zeros(3, 3), torch.full((3, 3), 2.0)
    expected = (moved / 2).scatter(1, own[:, None], -torch.inf).amax(1)
    assert torch.allclose(Drift(noise, mean, spread)(model, images), expected)
    assert (Turning(1e-4 * noise)(model, images) < 1e-4).all()


def test_a_symmetric_image_is_consistent_under_the_mirror():
    model = network()
    images = torch.rand((4, 1, 2, 1), generator=generator()).expand(-1, -1, -1, 2)
    assert torch.allclose(Transformed(flip=True)(model, images), torch.zeros(4))
    crooked = torch.rand((4, 1, 2, 2), generator=generator())
    expected = (model(crooked).softmax(1) - model(crooked.flip(3)).softmax(1)).abs().sum(1)
    assert torch.allclose(Transformed(flip=True)(model, crooked), expected)


def test_energies_see_frequencies():
    across = torch.arange(16.0)
    slow = (0.5 + 0.5 * torch.cos(2 * math.pi * across / 16)).expand(1, 1, 16, 16)
    quick = (0.5 + 0.5 * torch.cos(math.pi * across)).expand(1, 1, 16, 16)
    assert int(energies(slow, 8)[0, 1:].argmax()) < 1
    assert (
        int(energies(quick, 8)[0, 1:].argmax()) == 4
    )  # frequency 0.5 of a largest radius of 0.707, less the mean's ring


@pytest.mark.parametrize("spec", ["transform:transform=shift", "reconstruction:by=error"])
def test_noisy_images_are_stranger_than_clean_ones(spec):
    """Each of these sees large noise on smooth images; what they see of attacks is measured in docs/detect.md."""
    n = 500
    ramp = torch.linspace(0, 1, 8).view(1, 1, 1, 8).expand(n, 1, 8, 8)
    shade = torch.rand((n, 1, 1, 1), generator=generator())
    labels = (shade.flatten() > 0.5).long()
    images = (0.3 * ramp + 0.6 * shade).clamp(0, 1)
    images = images + 0.005 * torch.rand(images.shape, generator=generator(1))
    data = Dataset("ramps", images, labels, ("dark", "light"))
    net = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(144, 2))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for part in net:
            if hasattr(part, "reset_parameters"):
                part.reset_parameters()
    model = models.wrap(net, classes=("dark", "light"), input_shape=(1, 8, 8)).eval()
    models.train(model, data, None, models.Training(epochs=4, batch=32))
    guard = parse(spec).fit(model, data, None, generator())
    noisy = (data.images + 0.3 * torch.randn(images.shape, generator=generator(2))).clamp(0, 1)
    assert float(figures(guard(model, data.images).score, guard(model, noisy).score, resamples=1).auroc) > 0.6


def test_surprise_is_minus_log_p_and_goes_on():
    reference = torch.randn(200, generator=generator())
    scale = Surprise.of(reference)
    for score in reference[:20]:
        share = (int((reference >= score).sum()) + 1) / 201
        assert float(scale(score[None])[0]) == pytest.approx(-math.log(share), abs=1e-4)
    rising = scale(torch.linspace(-5, 9, 200))
    assert (rising.diff() >= 0).all()
    assert (scale(torch.tensor([6.0, 7.0])).diff() > 0.5).all()
    assert torch.equal(Surprise.of(torch.zeros(30))(torch.tensor([-1.0, 0.0])), torch.zeros(2) + scale_of_ties())


def scale_of_ties() -> float:
    return float(Surprise.of(torch.zeros(30)).heights[0])


def test_an_ensemble_takes_the_strangest_member():
    model, clean = network(), blobs(1200, spread=0.2)
    guard = Ensemble(members=("margin", "neighbours"), how="max").fit(model, clean, None, generator())
    images = blobs(60, seed=6, spread=0.2).images
    verdict = guard(model, images)
    alone = [scale(member(model, images).score) for scale, member in zip(guard.scales, guard.members, strict=True)]
    assert torch.allclose(verdict.score, torch.maximum(*alone))
    assert torch.equal(verdict.recovered, guard.members[1](model, images).recovered)
    assert verdict.evidence[-1].layer == "composed"
    again = guard.calibrated(model, blobs(400, seed=9, spread=0.2), rate=0.1)
    assert again.calibration.rate == 0.1


def test_an_ensemble_is_no_worse_than_chance_on_an_attack_its_members_see():
    model = network()
    adversarial = mount(PGD(eps=0.12), model, blobs(200, seed=8))
    guard = Ensemble(members=("margin", "softmax")).fit(model, blobs(1200), None, generator())
    score = guard(model, adversarial.images[adversarial.success]).score
    assert figures(guard(model, blobs(300, seed=9).images).score, score, resamples=200).auroc.low > 0.5
