"""pixelproof detect: its JSON, its folder, its pictures, its errors."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from pixelproof.cli.main import app
from pixelproof.data import load
from pixelproof.errors import BadInput, CorruptFile, RunError

NET = """
import torch
from torch import nn
from pixelproof.data import load

def build():
    data = load("digits", "train")
    rows = data.images.flatten(1)
    means = torch.stack([rows[data.labels == label].mean(0) for label in range(10)])
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.ReLU(), nn.Linear(10, 10))
    weights = {"1.weight": 2 * means, "1.bias": 20 - means.square().sum(1), "3.weight": torch.eye(10)}
    net.load_state_dict(weights | {"3.bias": torch.zeros(10)})
    return net
"""


@pytest.fixture
def call(tmp_path):
    (tmp_path / "net.py").write_text(NET)

    def run(*options, net=None):
        given = [
            "detect",
            net or f"{tmp_path / 'net.py'}:build",
            "digits",
            "--quiet",
            *([] if "--images" in options else ["--n", "80"]),
            *options,
        ]
        return CliRunner().invoke(app, [str(option) for option in given])

    return run


def test_a_guard_is_fitted_kept_and_used_again(call, tmp_path):
    options = [
        "--detector",
        "neighbours:k=9",
        "--tune",
        "pgd:eps=0.2",
        "--attack",
        "pgd:eps=0.2",
        "--out",
        tmp_path / "g",
    ]
    first = call(*options, "--json")
    assert first.exit_code == 0, first.output
    facts = json.loads(first.stdout)
    assert facts["new"]
    assert [row["layer"] for row in facts["tuned"]] == ["1", "3", "composed"]
    assert facts["test_images"] == 80
    assert 0 <= facts["false_alarms"]["value"] <= 1
    (row,) = facts["attacks"]
    assert row["auroc_interval"][0] <= row["auroc"] <= row["auroc_interval"][1]
    again = json.loads(call(*options, "--json").stdout)
    assert not again["new"]
    milliseconds = {"milliseconds_per_image"}
    for one, other in zip(facts["attacks"], again["attacks"], strict=True):
        assert {k: v for k, v in one.items() if k not in milliseconds} == {
            k: v for k, v in other.items() if k not in milliseconds
        }
    assert again["tuned"] == facts["tuned"]
    words = call(*options)
    assert "guard:" in words.stdout
    assert "(kept)" in words.stdout
    other = call("--detector", "margin", "--out", tmp_path / "g")
    assert isinstance(other.exception, RunError)
    assert "other settings" in str(other.exception)


def test_an_unfinished_guard_is_made_again(call, tmp_path):
    folder = tmp_path / "g"
    assert json.loads(call("--detector", "margin", "--out", folder, "--json").stdout)["new"]
    (folder / "guard.safetensors").unlink()
    assert json.loads(call("--detector", "margin", "--out", folder, "--json").stdout)["new"]
    (folder / "guard.safetensors").write_bytes(b"half")
    assert json.loads(call("--detector", "margin", "--out", folder, "--json").stdout)["new"], "a damaged one as well"


def test_pictures_are_judged_with_their_neighbours(call, tmp_path):
    images = load("digits", "test")[:6]
    folder = tmp_path / "pictures" / "inner"
    folder.mkdir(parents=True)
    for row, picture in enumerate(images.pixels[:, 0].numpy()):
        Image.fromarray(picture).save(folder / f"{row}.png")
    np.savez(tmp_path / "six.npz", images=images.pixels[:, 0].numpy())
    np.savez(tmp_path / "floats.npz", images=images.images.numpy())
    rows = {}
    for where in (tmp_path / "pictures", tmp_path / "six.npz", tmp_path / "floats.npz"):
        found = call("--detector", "neighbours:k=9", "--images", where, "--json")
        assert found.exit_code == 0, found.output
        rows[where.name] = json.loads(found.stdout)["images"]
    for one, other, third in zip(*rows.values(), strict=True):
        facts = [{k: v for k, v in row.items() if k != "image"} for row in (one, other, third)]
        assert facts[0] == facts[1] == facts[2]
        assert one["alarm"] == (one["p_value"] <= 0.05)
        for layer in one["layers"]:
            assert len(layer["neighbours"]) == len(layer["distances"]) == sum(layer["votes"].values()) == 9
    assert [row["image"] for row in rows["pictures"]] == [f"inner/{row}.png" for row in range(6)]
    markup = tmp_path / "[" / "0].png"  # by the name "[/0].png", which would end a style that nobody began
    markup.parent.mkdir()
    shutil.copy(folder / "0.png", markup)
    assert "[/0].png" in call("--detector", "margin", "--images", tmp_path).stdout
    single = call("--detector", "margin", "--images", folder / "0.png")
    assert "1 images alarmed" in single.stdout


def test_pictures_stand_in_the_order_of_their_strangeness(call, tmp_path):
    """Also where several have the p-value of the least: by score, the strangest first."""
    images = load("digits", "test")[:40]
    np.savez(tmp_path / "forty.npz", images=images.pixels[:, 0].numpy())
    shown = call("--detector", "margin", "--images", tmp_path / "forty.npz").stdout
    rows = [line.split("│") for line in shown.splitlines() if "forty.npz[" in line]
    keys = [(float(row[5]), -float(row[4])) for row in rows]
    assert len(keys) == 20
    assert len({key[0] for key in keys}) < 20
    assert keys == sorted(keys)


def test_pictures_that_cannot_be_read_end_it_before_the_long_work(call, monkeypatch):
    def never(*_args, **_settings):
        raise AssertionError("fitted first")

    monkeypatch.setattr("pixelproof.detect.building.build", never)
    assert "not there" in str(call("--images", "/nowhere").exception)


def test_a_guard_that_can_never_alarm_is_told(call):
    asked = ["--detector", "neighbours:k=1", "--rate", "0.004"]
    assert json.loads(call(*asked, "--json").stdout)["mute"]
    assert "never alarms" in call(*asked).output
    assert not json.loads(call("--detector", "neighbours:k=60", "--json").stdout)["mute"]


def test_attacks_that_know_the_guard(call):
    facts = json.loads(call("--detector", "margin", "--attack", "fgsm:eps=0.1", "--adaptive", 4, "--json").stdout)
    assert facts["known"]["eps"] == pytest.approx(0.1)
    assert facts["known"]["evaded"]["n"] <= 4


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        (["--detector", "margn"], BadInput, "Did you mean 'margin'"),
        (["--detector", "signature"], BadInput, "needs an attack"),
        (["--detector", "neighbours:k=5000"], BadInput, "k must be at most"),
        (["--detector", "neighbours:layers=fc9"], BadInput, "layer"),
        (["--detector", "margin", "--tune", "pgd:eps=0.1"], BadInput, "only 'neighbours'"),
        (["--tune", "pgd:eps=0"], BadInput, "successful attacks"),
        (["--detector", "margin", "--attack", "pgdd:eps=0.1"], BadInput, "Did you mean 'pgd'"),
        (["--rate", "2"], BadInput, "false-alarm rate"),
        (["--detector", "margin", "--rate", "0.0001"], BadInput, "calibration images"),
        (["--images", "/nowhere"], BadInput, "not there"),
        (["--images", "{}/wide.npz"], BadInput, "expects images"),
        (["--images", "{}/empty"], BadInput, "expected pictures"),
        (["--images", "{}/broken.png"], CorruptFile, "whole image"),
        (["--images", "{}/objects.npz"], CorruptFile, "plain arrays"),
        (["--images", "{}/large.npz"], BadInput, "lie in"),
    ],
)
def test_input_that_cannot_be_right_is_named(call, tmp_path, options, kind, words):
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.png").write_bytes(b"\x89PNG")
    np.savez(tmp_path / "wide.npz", images=np.zeros((2, 9, 9), np.uint8))
    np.savez(tmp_path / "large.npz", images=np.full((2, 1, 8, 8), 255.0))
    np.savez(tmp_path / "objects.npz", images=np.array([{}], dtype=object))
    found = call(*(option.format(tmp_path) for option in options))
    assert isinstance(found.exception, kind), found.output
    assert words in str(found.exception)


def test_a_class_without_a_correct_image_is_named(call, tmp_path):
    (tmp_path / "blind.py").write_text(NET.replace("20 - means", "torch.tensor([99.0] + [0.0] * 9) - means"))
    found = call("--detector", "neighbours:k=3", net=f"{tmp_path / 'blind.py'}:build")
    assert "every class needs a correctly classified training image" in str(found.exception)


def test_a_detector_that_learns_from_attacks_takes_the_first_one(call):
    detector = ["--detector", "signature:background=2", "--fit", "300"]
    done = call(*detector, "--attack", "fgsm:eps=0.3", "--json")
    assert done.exit_code == 0, done.output
    facts = json.loads(done.stdout)
    assert facts["attack"] == "fgsm:eps=0.3"
    assert facts["settings"].startswith("signature:kind=statistics,background=2,")
    assert facts["false_alarms"]["n"] == facts["test_images"] == 80
    (row,) = facts["attacks"]
    assert row["recovered"] is None
    found = call(*detector)
    assert isinstance(found.exception, BadInput)
    assert "needs an attack" in str(found.exception)
