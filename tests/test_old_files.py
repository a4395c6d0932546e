"""Runs and guards that earlier versions wrote still open, and say what they said then."""

import json
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn

from pixelproof import models
from pixelproof.data import load
from pixelproof.detect import load_guard
from pixelproof.models import Classifier
from pixelproof.run import Run
from test_run import SPEC, Inner, Outer

OLD = Path(__file__).parent / "old"
SAID = json.loads((OLD / "said.json").read_text())


def test_an_old_result_opens():
    run = Run.open(OLD / "run")
    assert run.complete
    assert run.spec == SPEC
    value = run.load("a/result", Outer)
    assert (value.name, value.count, value.absent, value.names) == ("é \x7f", 3, None, ("x", "y"))
    assert torch.equal(value.inner.values, torch.arange(6).view(2, 3))
    assert value.by_name["linf"].tolist() == [True, False]
    assert value.plain == {"a.b": 1.5, "": -0.0}
    assert value.parts[1].shape == (0, 4)
    assert isinstance(value.nested[1], Inner)
    assert value.nested[1].values.dtype == torch.float16


@pytest.mark.parametrize("name", SAID["scores"])
def test_an_old_guard_opens(name, monkeypatch):
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 10))
    model = models.wrap(net, classes=10, input_shape=(1, 8, 8)).eval()
    model.load_state_dict(safetensors.torch.load_file(OLD / "model.safetensors"))
    monkeypatch.setattr(Classifier, "digest", lambda self: SAID["digest"])  # what identifies a model may change
    guard = load_guard(OLD / name, model)
    said = guard(model, load("digits", "val").images[:20]).score
    assert torch.allclose(said, torch.tensor(SAID["scores"][name]), rtol=1e-4, atol=1e-5)
