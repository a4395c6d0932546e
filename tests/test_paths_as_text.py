"""Every public function that takes a path takes it as text, too."""

import pytest
import torch
from torch import nn

from pixelproof import data, detect, models, report
from pixelproof.run import Run
from tiny_runs import forge


@pytest.fixture(scope="module")
def subject():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        train = data.load("digits", "train")
        net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).eval()
    return models.wrap(net, classes=train.classes, input_shape=train.shape), train


def test_guards(subject, tmp_path):
    model, train = subject
    guard = detect.parse("margin").fit(model, train, None, torch.Generator().manual_seed(0))
    detect.save_guard(guard, str(tmp_path / "guard"))
    again = detect.load_guard(str(tmp_path / "guard"), model)
    assert torch.equal(again(model, train.images[:9]).score, guard(model, train.images[:9]).score)


def test_runs_and_reports(tmp_path):
    made = Run.create(str(tmp_path / "run"), {"name": "a"})
    assert made.folder == tmp_path / "run"
    assert Run.open(str(tmp_path / "run")).spec == {"name": "a"}
    forge(tmp_path / "forged")
    written = report.write(Run.open(str(tmp_path / "forged")), str(tmp_path / "elsewhere"))
    assert written == tmp_path / "elsewhere" / "report.html"


def test_models(tmp_path):
    model = models.load("mlp", data=data.load("digits", "train")[:100], training=models.Training(epochs=1))
    models.save(model, str(tmp_path / "m.safetensors"))
    again = models.open_saved(str(tmp_path / "m.safetensors"), torch.device("cpu"))
    assert again.digest() == model.digest()
