"""Over a table of tiny architectures: searches give the answer of full passes, certify a verdict or its reason."""

import pytest
import torch

from odd_nets import ODD
from pixel_nets import classifier, random_images
from pixelproof.attacks import FewPixel, OnePixel, OnePixelDE
from pixelproof.attacks.pixel.engine import FullForward, executor
from pixelproof.errors import BadInput, CertificateRefused
from pixelproof.prove import certify_one_pixel
from pixelproof.types import Goal

assert len(ODD) >= 25
pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same'")  # torch's own, of even kernels


@pytest.fixture(scope="module", params=ODD)
def case(request):
    build, shape, words = ODD[request.param]
    model, images = classifier(build(), shape, 3), random_images(shape, 2)
    return model, images, Goal(model.predict(images).argmax(1)), words


def test_one_pixel_gives_the_answer_of_full_passes(case):
    model, images, goal, _ = case
    found, full = (OnePixel(executor=choice).search(model, images, goal) for choice in ("auto", "full"))
    assert torch.equal(found.success, full.success)
    torch.testing.assert_close(found.margin, full.margin, rtol=1e-4, atol=1e-4)


def test_few_pixels_give_the_answer_of_full_passes(case):
    model, images, goal, _ = case
    given = []
    for choice in ("auto", "full"):
        changed = FewPixel(k=2, queries=10, executor=choice)(model, images, goal, torch.Generator().manual_seed(0))
        given.append(goal.margin(model.predict(changed)))
    torch.testing.assert_close(*given, rtol=1e-4, atol=1e-4)


def test_evolution_runs(case):
    model, images, goal, _ = case
    found = OnePixelDE(population=4, iterations=1)(model, images, goal, torch.Generator().manual_seed(0))
    assert found.is_contiguous()
    assert int((found != images).any(1).flatten(1).sum(1).max()) <= 1


def test_a_certificate_or_the_operation_that_it_lacks(case, capfd):
    model, images, goal, words = case
    if words:
        with pytest.raises(CertificateRefused) as refusal:
            certify_one_pixel(model, images, goal.labels, budget=20.0)
        assert words in str(refusal.value)
        assert "Error:" not in str(refusal.value) or "torch.export" in str(refusal.value)
        assert not capfd.readouterr().err
    else:
        found = certify_one_pixel(model, images, goal.labels, budget=20.0)
        assert (found.certified | found.attacked).all()


def test_a_step_that_cannot_run_on_its_own_is_named(monkeypatch):
    """Whatever fails after the graph was read: full passes go on, certify refuses in a sentence."""
    build, shape, _ = ODD["valid padding"]
    model, images = classifier(build(), shape, 3), random_images(shape, 1)
    labels = model.predict(images).argmax(1)
    for place, says in (
        ("pixelproof.attacks.pixel.ops.Pool.window", None),
        ("pixelproof.attacks.pixel.ops.Conv.dense", "convolution cannot be run on its own"),
        ("pixelproof.attacks.pixel.incremental.Incremental.focus", "cannot be followed"),
        ("pixelproof.attacks.pixel.plan.Track.grown", "cannot be read"),
    ):
        with monkeypatch.context() as broken:
            broken.setattr(place, _breaks)
            engine = executor(model, images[0])
            assert isinstance(engine, FullForward) == (says is not None)
            if says is not None:
                assert says in engine.note
                with pytest.raises(CertificateRefused, match=says):
                    certify_one_pixel(model, images, labels, budget=5.0)
                with pytest.raises(BadInput, match=says):
                    executor(model, images[0], "incremental")


def _breaks(*_):
    raise IndexError("pop from empty list")


def test_a_network_without_a_gradient_says_in_what_order_pixels_are_tried():
    build, shape, _ = ODD["grey levels looked up"]
    model, images = classifier(build(), shape, 3), random_images(shape, 2)
    found = OnePixel().search(model, images, Goal(model.predict(images).argmax(1)))
    assert not found.graded
    assert "no gradient" in found.note
