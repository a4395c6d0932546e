"""Kept proofs: taken up for what they are about and for nothing else."""

import json
import os

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pixel_nets import classifier, random_images
from pixelproof.errors import RunError
from pixelproof.models import Card, Classifier
from pixelproof.prove import Journal, certify_one_pixel, journal

IMAGES = random_images((1, 6, 6), 2)


class Smoothed(nn.Module):
    """A dense network behind a blur that has no weights, or without it."""

    def __init__(self, blurred):
        super().__init__()
        self.blurred = blurred
        self.inner = nn.Sequential(nn.Flatten(), nn.Linear(36, 8), nn.ReLU(), nn.Linear(8, 3))

    def forward(self, x):
        return self.inner(0.5 * x + 0.5 * F.avg_pool2d(x, 3, 1, 1) if self.blurred else x)


def smoothed(*, blurred=True):
    return classifier(Smoothed(blurred), (1, 6, 6), 3)


def certify(model, folder, images=IMAGES, labels=None):
    labels = model.predict(images).argmax(1) if labels is None else labels
    return certify_one_pixel(model, images, labels, budget=20.0, journal=Journal(folder))


def normalised():
    model = smoothed()
    return Classifier(model.net, Card("small", ("0", "1", "2"), (1, 6, 6)), mean=[0.1], std=[0.9]).eval()


def bent():
    model = smoothed()
    model.net.inner[2] = nn.Sequential(nn.ReLU(), nn.ReLU())
    return model


@pytest.mark.parametrize("other", [lambda: smoothed(blurred=False), normalised, bent])
def test_a_proof_is_not_taken_up_for_another_function_of_the_same_weights(other, tmp_path):
    certify(smoothed(), tmp_path)
    with pytest.raises(RunError, match="must belong to this model"):
        certify(other(), tmp_path, labels=smoothed().predict(IMAGES).argmax(1))


def test_a_proof_is_not_taken_up_for_other_pixels_labels_or_settings(tmp_path, monkeypatch):
    model = smoothed()
    labels = model.predict(IMAGES).argmax(1)
    done = certify(model, tmp_path)
    moved = IMAGES.clone()
    moved[0, 0, 3, 3] += 1 / 255 if moved[0, 0, 3, 3] < 0.5 else -1 / 255
    for images, named in ((moved, labels), (IMAGES, (labels + 1) % 3)):
        with pytest.raises(RunError, match="must belong to this model, image and label"):
            certify(model, tmp_path, images, named)
    with monkeypatch.context() as changed:
        changed.setattr(journal, "MOST_BOXES", 7)
        with pytest.raises(RunError, match="must belong"):
            certify(model, tmp_path)
    assert torch.equal(certify(model, tmp_path).seconds, done.seconds)  # nothing was done again


def test_a_proof_by_older_rules_is_done_again(tmp_path):
    model = smoothed()
    labels = model.predict(IMAGES).argmax(1)
    done = certify(model, tmp_path)
    for number in range(2):
        old = {"key": f"2-{model.digest()}-0-{int(labels[number])}-0.001", "verdict": "certified", "seconds": 1e6}
        (tmp_path / f"image-{number:05d}.json").write_text(json.dumps(old))
    again = certify(model, tmp_path)
    assert torch.equal(again.certified, done.certified)
    assert float(again.seconds.max()) < 1e5


def test_a_changed_digit_is_noticed(tmp_path):
    certify(smoothed(), tmp_path)
    path = tmp_path / "image-00000.json"
    kept = json.loads(path.read_text())
    path.write_text(json.dumps({**kept, "verdict": "certified", "boxes": kept["boxes"] + 1}))
    with pytest.raises(RunError, match=r"checksum.*Delete the file"):
        certify(smoothed(), tmp_path)


def test_a_pipe_in_place_of_a_proof_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "image-00000.json")
    with pytest.raises(RunError, match="must hold a proof; got a pipe or a device"):
        journal.resumed("key", 0, Journal(folder=tmp_path))


def test_a_folder_that_cannot_be_written_is_named_and_nothing_is_left_beside(tmp_path):
    certify(smoothed(), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["image-00000.json", "image-00001.json"]
    with pytest.raises(RunError, match="must be writable"):
        certify(smoothed(), tmp_path / "image-00000.json" / "proof")
