"""Every detector's guard comes back from disk saying the same; what is not whole or not ours is refused."""

import json

import pytest
import safetensors
import safetensors.torch
import torch
from torch import nn

from pixelproof import attacks, models
from pixelproof.attacks import PGD
from pixelproof.data import load
from pixelproof.detect import DETECTORS, SUPERVISED, load_guard, parse, save_guard
from pixelproof.detect.guards.scored import ScoreGuard
from pixelproof.detect.keeping import GUARD
from pixelproof.errors import BadInput, CorruptFile


@pytest.fixture(scope="module")
def subject():
    """A small convolutional network for the digits, its training images, and an attack on some of them."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(256, 24), nn.ReLU())
        net.append(nn.Linear(24, 10))
    train = load("digits", "train")
    model = models.wrap(net, classes=train.classes, input_shape=train.shape).eval()
    optimiser = torch.optim.Adam(net.parameters(), lr=5e-3)
    for _ in range(60):
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(train.images), train.labels).backward()
        optimiser.step()
    optimiser.zero_grad()
    return model, train, attacks.mount(PGD(eps=0.25, steps=5), model, train.sample(120), seed=0)


@pytest.mark.parametrize("name", [*DETECTORS, *SUPERVISED])
def test_a_kept_guard_says_the_same(subject, tmp_path, name):
    model, train, attacked = subject
    rng = torch.Generator().manual_seed(0)
    guard = parse(name).fit(model, train, attacked if name in SUPERVISED else None, rng)
    save_guard(guard, tmp_path / "guard")
    again = load_guard(tmp_path / "guard", model)
    images = load("digits", "val").images[:40]
    one, other = guard(model, images), again(model, images)
    assert torch.allclose(one.score, other.score, rtol=1e-4, atol=1e-5)  # tensors come back contiguous
    assert torch.allclose(one.p_value, other.p_value, atol=0.02)
    assert one.threshold == pytest.approx(other.threshold, rel=1e-4)
    assert torch.equal(one.recovered, other.recovered)


def test_another_models_guard_an_unfinished_and_a_damaged_one_are_refused(subject, tmp_path):
    model, train, _ = subject
    save_guard(parse("margin").fit(model, train, None, torch.Generator().manual_seed(0)), tmp_path)
    other = models.wrap(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), classes=10, input_shape=(1, 8, 8))
    with pytest.raises(BadInput, match="one built for"):
        load_guard(tmp_path, other)
    with safetensors.safe_open(tmp_path / GUARD, framework="pt") as file:
        facts = json.loads(file.metadata()["facts"])
    for guard in ({"kind": "Path", "fields": {}}, {"tuple": []}, {"function": "system"}, {}):
        safetensors.torch.save_file(
            {"a": torch.zeros(1)}, tmp_path / GUARD, {"facts": json.dumps(facts | {"guard": guard})}
        )
        with pytest.raises(CorruptFile, match="expected a guard"):
            load_guard(tmp_path, model)
    (tmp_path / GUARD).unlink()
    with pytest.raises(CorruptFile, match="finished guard"):
        load_guard(tmp_path, model)


def test_only_known_kinds_are_written(subject, tmp_path):
    model, train, _ = subject
    guard = parse("margin").fit(model, train, None, torch.Generator().manual_seed(0))
    own = ScoreGuard("own", lambda model, images: images.mean((1, 2, 3)), guard.calibration, guard.model)
    with pytest.raises(BadInput, match="a part of kind function"):
        save_guard(own, tmp_path)
    assert not (tmp_path / GUARD).exists()
