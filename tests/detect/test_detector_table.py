"""Every row of the table of detectors: settings, spec, fit, verdict, disk, and a caller that finds all as it was."""

import dataclasses
import math

import pytest
import torch
from jaxtyping import TypeCheckError
from torch import nn

from pixelproof import attacks, detect, specs
from pixelproof.attacks import PGD
from pixelproof.detect import DETECTORS, SUPERVISED, load_guard, parse, save_guard
from pixelproof.detect.guards.guard import Recalibrated
from pixelproof.errors import BadInput

from .toys import blobs, generator, network

TABLE = {**DETECTORS, **SUPERVISED}
WRONG = {int: (-1, 9 * 10**19), float: (math.nan, math.inf, -math.inf, -1.0, 9e19)}
NUMBERS = [
    (name, field.name, value)
    for name, kind in TABLE.items()
    for field in dataclasses.fields(kind)
    for value in WRONG.get(type(getattr(kind(), field.name)), ())
]
OFF = {"threshold", "duplicates"}  # None switches these off; every other setting shows the value that was used


@pytest.fixture(scope="module")
def subject():
    model, clean = network(), blobs(900, seed=1, spread=0.2)
    return model, clean, attacks.mount(PGD(eps=0.2, steps=5), model, clean.sample(200), seed=0)


@pytest.fixture(scope="module")
def guards(subject):
    """Every detector with its defaults, fitted once."""
    model, clean, attacked = subject
    return {
        name: kind().fit(model, clean, attacked if name in SUPERVISED else None, generator(4))
        for name, kind in TABLE.items()
    }


def test_names_are_those_of_the_table():
    assert {name: kind.name for name, kind in TABLE.items()} == {name: name for name in TABLE}


@pytest.mark.parametrize("name", TABLE)
def test_a_written_spec_reads_back(name):
    assert specs.parse(specs.write(TABLE[name]()), TABLE, "detector") == TABLE[name]()


@pytest.mark.parametrize(("name", "setting", "value"), NUMBERS, ids=str)
def test_a_number_that_cannot_be_right_is_refused_when_the_detector_is_made(name, setting, value):
    with pytest.raises(BadInput, match=f"^{name}: "):
        TABLE[name](**{setting: value})


@pytest.mark.parametrize(
    "spec",
    [
        "neighbours:k=75|0",
        "neighbours:threshold=5|-1",
        "neighbours:duplicates=1.5",
        "density:bandwidth=nan",
        "repair:most=0",
        "repair:rate=1",
        "ensemble:members=margin|lid:k=1",
        "ensemble:members=margin|nothing",
        "ensemble:members=signature",
    ],
)
def test_other_settings_that_cannot_be_right(spec):
    with pytest.raises(BadInput):
        parse(spec)


@pytest.mark.parametrize(
    "made",
    [
        lambda: detect.Mahalanobis(kind="far"),
        lambda: detect.Reconstruction(by="eye"),
        lambda: detect.TransformConsistency(transform="turn"),
        lambda: detect.DeepNeighbours(metric="hamming"),
        lambda: detect.DeepNeighbours(layers=()),
        lambda: detect.DeepNeighbours(k=2.5),
        lambda: detect.Ensemble(members=()),
    ],
)
def test_choices_are_checked_in_python_too(made):
    with pytest.raises((BadInput, TypeCheckError)):  # the second where types are checked on every call
        made()


@pytest.mark.parametrize("name", TABLE)
def test_what_is_shown_is_what_ran(name, subject, guards):
    """The guard's spec names every setting; read back and fitted again it gives the same guard."""
    model, clean, attacked = subject
    guard = guards[name]
    assert isinstance(guard, Recalibrated)
    shown = specs.given(guard.spec, TABLE, "detector")
    assert set(shown) == {field.name for field in dataclasses.fields(TABLE[name])}
    assert {setting for setting, value in shown.items() if value is None} <= OFF
    assert "auto" not in shown.values()
    assert shown["rate"] == guard.calibration.rate
    again = parse(guard.spec).fit(model, clean, attacked if name in SUPERVISED else None, generator(4))
    images = blobs(30, seed=7, spread=0.2).images
    assert torch.equal(again(model, images).score, guard(model, images).score)
    assert again.spec == guard.spec


@pytest.mark.parametrize("name", TABLE)
def test_a_new_threshold_is_shown_too(name, subject, guards):
    again = guards[name].calibrated(subject[0], blobs(300, seed=3), rate=0.1)
    shown = specs.given(again.spec, TABLE, "detector")
    assert shown["rate"] == again.calibration.rate == 0.1
    assert shown.get("calibrate", 300) == 300


@pytest.mark.parametrize("name", TABLE)
def test_a_kept_guard_is_the_guard(name, subject, guards, tmp_path):
    model, images = subject[0], blobs(30, seed=7, spread=0.2).images
    save_guard(guards[name], tmp_path / "guard")
    again = load_guard(tmp_path / "guard", model)
    assert again.spec == guards[name].spec
    one, other = guards[name](model, images), again(model, images)
    assert torch.allclose(one.score, other.score, rtol=1e-4, atol=1e-5)
    assert torch.equal(one.alarm, other.alarm)
    assert torch.equal(one.recovered, other.recovered)


@pytest.mark.parametrize("name", TABLE)
def test_a_callers_model_and_images_stay_as_they_were(name, subject, guards):
    model, images = subject[0], blobs(8, seed=7, spread=0.2).images.transpose(2, 3)  # not contiguous
    before, modes = images.clone(), [part.training for part in model.modules()]
    model.net[1].train(not model.net[1].training)  # one part in another mode than the rest
    mixed = [part.training for part in model.modules()]
    assert mixed != modes
    try:
        guards[name](model, images)
        assert [part.training for part in model.modules()] == mixed
        assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())
        assert not any(part._forward_hooks for part in model.modules())
        assert torch.equal(images, before)
        with pytest.raises(BadInput):
            guards[name](model, images + 7)
        assert [part.training for part in model.modules()] == mixed
    finally:
        model.net[1].train(modes[2])


def test_a_networks_own_changes_in_place_do_not_reach_the_callers_images():
    class Scaling(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 3)

        def forward(self, images):
            return self.fc(images.mul_(2).sub_(1).flatten(1))

    from pixelproof import models

    model = models.wrap(Scaling(), classes=("a", "b", "c"), input_shape=(1, 2, 2)).eval()
    clean, images = blobs(400, seed=1), blobs(8, seed=7).images
    before = images.clone()
    for name in ("margin", "transform", "squeezing", "noise", "gradient", "reconstruction", "spectral"):
        parse(name).fit(model, clean, None, generator())(model, images)
        assert torch.equal(images, before), name
