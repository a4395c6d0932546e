"""pixelproof defend: on a network of ours, on your own, and what it refuses."""

import json

import pytest
from typer.testing import CliRunner

from pixelproof import data, models, prove
from pixelproof.cli.main import app
from pixelproof.errors import BadInput

RUNNER = CliRunner()
OWN = """from torch import nn
def build():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
"""


def run(*arguments):
    result = RUNNER.invoke(app, ["defend", *arguments, "--n", "60"])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result


def test_a_hardened_network_is_saved_and_attacked_by_the_next_command(tmp_path):
    out = tmp_path / "hard" / "model.safetensors"
    settings = ("--training", "epochs=10,batch=64", "--out", str(tmp_path / "hard"))
    result = run("mask:ratio=0.3,fill=noise,when=train", "fgsm-rs:eps=0.1", *settings, "--json")
    facts = json.loads(result.stdout)
    assert [spec.partition(":")[0] for spec in facts["defences"]] == ["mask", "fgsm-rs"]
    assert facts["after"]["pgd"]["value"] > facts["before"]["pgd"]["value"]
    assert facts["n"] == 60
    assert facts["certified"] is None
    assert facts["model"] == str(out)
    attacked = RUNNER.invoke(app, ["attack", "fgsm:eps=0.1", "--model", str(out), "--n", "60", "--json"])
    assert json.loads(attacked.stdout)["fooled"] >= 0


def test_interval_training_says_what_it_proves(tmp_path):
    out = tmp_path / "ibp.safetensors"
    settings = ("--training", "epochs=15,batch=32", "--out", str(out), "--eps", "0.02")
    result = run("ibp:eps=0.02", *settings, "--json")
    facts = json.loads(result.stdout)
    test = data.load("digits", "test").sample(60, 0)
    model = models.load(str(out))
    assert facts["certified"]["value"] == pytest.approx(float(prove.certified(model, test, 0.02)), abs=1e-4)
    assert facts["certified"]["value"] <= facts["after"]["pgd"]["value"]
    assert "proven at eps 0.02 by interval bounds" in run("ibp:eps=0.02", *settings).output
    short = ("--training", "epochs=1,batch=64", *settings[2:], "--json")
    behind = json.loads(run("bits:bits=1,when=both", "ibp:eps=0.02", *short).stdout)
    proven = prove.certified(models.load(str(out)), test, 0.02)
    assert behind["certified"]["value"] == pytest.approx(float(proven), abs=1e-4)
    assert json.loads(run("ibp:eps=0.02", "jpeg", *short).stdout)["certified"] is None, "no bounds go through JPEG"


def test_your_own_network_goes_on_from_its_weights(tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    out = tmp_path / "own.safetensors"
    own = ("--model", f"{tmp_path}/own.py:build", "--out", str(out))
    result = run("masked:ratio=0.3,fill=0,draw=fresh", *own, "--json")
    facts = json.loads(result.stdout)
    assert facts["stochastic"]
    assert facts["network"].endswith("own.py:build")
    again = run("bits:bits=3", *own, "--weights", str(out))
    assert "masked" in again.output
    assert "--weights" in again.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fgsm-rs", "trades"], "contradict"),
        (["mask:ratio=0.3"], "needs fill, when"),
        (["dropout", "--start", "afresh"], "Did you mean 'fresh'"),
        (["dropout", "--training", "epochs=0"], "epochs"),
    ],
)
def test_what_cannot_be_is_one_error(arguments, message):
    with pytest.raises(BadInput, match=message):
        run(*arguments)
