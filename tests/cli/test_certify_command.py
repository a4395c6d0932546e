"""pixelproof certify: its JSON, its folder, its table and its errors."""

import json

import pytest
import torch
from source_nets import LINEAR
from typer.testing import CliRunner

from pixelproof import data, models
from pixelproof.cli.main import app
from pixelproof.errors import BadInput, CertificateRefused, RunError

POOLED = "nn.Sequential(nn.Conv2d(1, 10, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(10, 10))"


@pytest.fixture
def call(tmp_path):
    net = tmp_path / "net.py"
    net.write_text(LINEAR)
    return ["certify", f"{net}:build", "digits", "--n", "4", "--budget", "30"]


def first_right(call):
    model = models.load(call[1], data=data.load("digits", "test"))
    test = data.load("digits", "test")
    right = (model.predict(test.images).argmax(1) == test.labels).nonzero()[:4, 0]
    return model, test[right]


def test_verdicts_are_about_the_first_images_that_are_right_and_a_linear_network_gets_the_exact_one(call):
    facts = json.loads(CliRunner().invoke(app, [*call, "--json"]).stdout)
    model, right = first_right(call)
    assert [row["image"] for row in facts["images"]] == right.index.tolist()
    assert facts["attacked"] + facts["certified"] == facts["n"] == 4
    first = data.load("digits", "test").index.tolist().index(right.index[-1]) + 1
    counted = {"robust_accuracy": first, "left_standing": 4, "certified_accuracy": first, "proven": 4}
    assert {name: facts[name]["n"] for name in counted} == counted
    assert {facts[name]["hits"] for name in counted} == {facts["certified"]}
    for row, image, label in zip(facts["images"], right.images, right.labels, strict=True):
        batch = image.repeat(128, 1, 1, 1)
        for place in range(64):
            batch[2 * place : 2 * place + 2, 0, place // 8, place % 8] = torch.tensor([0.0, 1.0])
        assert (row["verdict"] == "attacked") == bool((model.predict(batch).argmax(1) != label).any())


def test_a_second_call_goes_on_from_the_folder(call, tmp_path):
    kept = [*call, "--json", "--out", str(tmp_path / "proof")]
    first, again = (json.loads(CliRunner().invoke(app, kept).stdout) for _ in range(2))
    assert first == again
    assert len(list((tmp_path / "proof" / "pixels" / "proof").glob("image-*.json"))) == 4


def test_the_table_names_both_accuracies(call):
    shown = CliRunner().invoke(app, [*call, "--quiet"]).stdout
    for name in (
        "robust accuracy of the first",
        "left standing of the correct",
        "certified accuracy of the first",
        "proven",
    ):
        assert f"one-pixel {name}" in shown


def test_a_place_that_cannot_be_written_is_named(call, tmp_path):
    (tmp_path / "file").write_text("in the way")
    refused = CliRunner().invoke(app, [*call, "--quiet", "--out", str(tmp_path / "file" / "proof")])
    assert isinstance(refused.exception, RunError)
    assert "must be writable" in str(refused.exception)


def test_an_operation_without_a_bound_is_named_in_words(call, tmp_path):
    pooled = LINEAR.replace("nn.Sequential(nn.Flatten(), nn.Linear(64, 10))", POOLED).replace("net.load", "# net.load")
    (tmp_path / "net.py").write_text(pooled)
    refused = CliRunner().invoke(app, [*call, "--quiet"])
    assert isinstance(refused.exception, CertificateRefused)
    assert "none for global average pooling" in str(refused.exception)


def test_a_budget_of_zero_is_refused(call):
    refused = CliRunner().invoke(app, [*call[:-1], "0"])
    assert isinstance(refused.exception, BadInput)
    assert "budget must be positive" in str(refused.exception)
