"""A study that goes on does so with the same model, the same code and the same images, training images included."""

import numpy as np
import pytest

from pixelproof import data, study
from pixelproof.errors import RunError
from pixelproof.results import catalogue
from pixelproof.run import Run

CODE = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.net = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))

    def forward(self, images):
        return self.net(images)
"""


@pytest.fixture
def begun(tmp_path):
    """A study of a network and images of one's own that was killed before its end, and how to go on with it."""
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (120, 8, 8), np.uint8), np.arange(120) % 3
    np.savez(tmp_path / "own.npz", images=images, labels=labels)
    (tmp_path / "own.py").write_text(CODE)
    content = {
        "name": "own",
        "title": "One's own",
        "data": {"name": str(tmp_path / "own.npz")},
        "model": {"net": f"{tmp_path}/own.py:Net"},
        "attacks": {"specs": ["fgsm"], "eps": [0.1], "examples": 1},
    }

    def go_on():
        (tmp_path / "run" / "run.json").unlink(missing_ok=True)
        return study.conduct(study.parse(content), tmp_path / "run", device="cpu")

    go_on()
    return tmp_path, images, labels, go_on


def test_it_goes_on_with_what_it_was_begun_with(begun):
    folder, _, _, go_on = begun
    assert go_on().complete
    kept = catalogue.CLEAN.load(Run.open(folder / "run"))
    assert all(digest.startswith("2-") for digest in (kept.digest, kept.data_digest, kept.train_digest))


@pytest.mark.parametrize("split", ["train", "test"])
def test_other_images_are_noticed(begun, split):
    folder, images, labels, go_on = begun
    rows = data.load(folder / "own.npz", split).index.numpy()
    images[rows[:5]] = 255 - images[rows[:5]]
    np.savez(folder / "own.npz", images=images, labels=labels)
    what = {"train": "training images", "test": "test images"}[split]
    with pytest.raises(RunError, match=f"begun with other content; got another {what}"):
        go_on()


@pytest.mark.parametrize("change", ["(images * 16).round() / 16", "1 - images"])
def test_other_code_under_the_same_weights_is_noticed(begun, change):
    folder, _, _, go_on = begun
    (folder / "own.py").write_text(CODE.replace("self.net(images)", f"self.net({change})"))
    with pytest.raises(RunError, match="begun with other content; got another model"):
        go_on()


def test_runs_of_earlier_builds_go_on_without_a_digest_of_training_images(begun):
    folder, images, labels, go_on = begun
    run = Run.open(folder / "run")
    kept = catalogue.CLEAN.load(run)
    object.__setattr__(kept, "train_digest", "")
    catalogue.CLEAN.save(run, kept)
    assert run.plain("clean")["train_digest"] == ""
    rows = data.load(folder / "own.npz", "train").index.numpy()
    images[rows[:5]] = 255 - images[rows[:5]]
    np.savez(folder / "own.npz", images=images, labels=labels)
    assert go_on().complete
