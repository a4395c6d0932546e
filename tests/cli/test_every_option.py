"""Nothing given is dropped: every option of a command changes what comes out, or is refused where it cannot."""

import json
import re
import shutil
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
import typer.main
from safetensors.torch import save_file
from source_nets import LINEAR
from typer.testing import CliRunner

from pixelproof import data, measure, models
from pixelproof.attacks import Auto
from pixelproof.cli.main import app
from pixelproof.results import Finding

COMMANDS = {
    "evaluate": "evaluate NET digits --eps 0.05 --n 40 --json",
    "audit": "audit NET digits --eps 0.05 --n 100 --json",
    "compare": "compare NET OTHER digits --eps 0.05 --n 40 --attacks pgd:steps=3 --json",
    "defend": "defend weight-decay --model NET --training epochs=1 --n 40 --out OUT --json",
}
SHARED = {
    "--device": ["--device", "tpu"],
    "--seed": ["--seed", "5"],
    "--data-dir": ["--data-dir", "EMPTY"],
    "--quiet": ["--quiet"],
    "--json": ["--json"],
    "--n": ["--n", "30"],
}
CHANGES = {
    "evaluate": {
        **SHARED,
        "--norm": ["--norm", "l2"],
        "--eps": ["--eps", "0.06"],
        "--version": ["--version", "standard"],
        "--budget": ["--budget", "0.000001s"],
        "--out": ["--out", "FOLDER"],
        "--curve": ["--curve", "2"],
        "--target": ["--target", "3"],
        "--fail-under": ["--fail-under", "100%"],
        "--weights": ["--weights", "WEIGHTS"],
    },
    "audit": {
        **SHARED,
        "--n": ["--n", "95"],
        "--eps": ["--eps", "0.06"],
        "--norm": ["--norm", "l2"],
        "--trained-with": ["--trained-with", "pgd:steps=7"],
        "--reported": ["--reported", "fgsm"],
        "--surrogate": ["--surrogate", "OTHER"],
        "--noise": ["--noise", "7"],
        "--width": ["--width", "0.5"],
        "--out": ["--out", "FOLDER"],
        "--fail": ["--fail"],
        "--weights": ["--weights", "WEIGHTS"],
    },
    "compare": {
        **SHARED,
        "--attacks": ["--attacks", "fgsm"],
        "--eps": ["--eps", "0.02,0.05"],
        "--weights-a": ["--weights-a", "WEIGHTS"],
        "--weights-b": ["--weights-b", "WEIGHTS"],
    },
    "defend": {
        **SHARED,
        "--data": ["--data", "NPZ"],
        "--model": ["--model", "OTHER"],
        "--weights": ["--weights", "WEIGHTS"],
        "--training": ["--training", "epochs=2"],
        "--start": ["--start", "fresh"],
        "--out": ["--out", "FOLDER"],
        "--eps": ["--eps", "0.02"],
    },
}
REFUSED = [
    (["evaluate", "NET", "digits", "--curve", "3", "--target", "2"], "untargeted"),
    (["evaluate", "RANDOM", "digits", "--curve", "3", "--n", "20"], "must be deterministic"),
    (["evaluate", "NET", "digits", "--version", "slow"], "version"),
    (["compare", "NET", "OTHER", "digits", "--attacks", "pgd:eps=0.1"], "budgets are those of --eps"),
    (["compare", "NET", "nowhere.py:build", "digits", "--attacks", "pgd"], "nowhere"),
    (["defend", "bits:bits=4", "--training", "epochs=2"], "--training: needs a defence that is trained"),
    (["defend", "bits:bits=4", "--start", "fresh"], "--start: needs a defence that is trained"),
]
TIMES = re.compile(r'"(seconds|cpu_seconds)": [0-9.e-]+|"bounds": \[.*?\n \]', re.DOTALL)


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """What the words of the tables stand for."""
    root = tmp_path_factory.mktemp("options")
    (root / "net.py").write_text(LINEAR)
    (root / "other.py").write_text(LINEAR.replace("manual_seed(0)", "manual_seed(1)"))
    (root / "random.py").write_text(LINEAR.replace("nn.Flatten()", "Noisy()") + NOISY)
    weights = {"1.weight": torch.randn(10, 64, generator=torch.Generator().manual_seed(2)), "1.bias": torch.zeros(10)}
    save_file(weights, root / "weights.safetensors")
    (root / "empty").mkdir()
    digits = data.load("digits", "train")[:200]
    np.savez(root / "own.npz", images=(digits.images.numpy() * 255).round().astype("uint8"), labels=digits.labels)
    return {
        "NET": f"{root}/net.py:build",
        "OTHER": f"{root}/other.py:build",
        "RANDOM": f"{root}/random.py:build",
        "WEIGHTS": str(root / "weights.safetensors"),
        "EMPTY": str(root / "empty"),
        "NPZ": str(root / "own.npz"),
        "OUT": str(root / "out.safetensors"),
        "FOLDER": str(root / "folder"),
    }


NOISY = """

class Noisy(nn.Module):
    def forward(self, x):
        return (x + 0.1 * torch.randn_like(x)).flatten(1)
"""


@pytest.fixture
def call(places, monkeypatch):
    """Runs a command and gives all that comes out: text, files, exit code, error; an audit ends at its first step."""
    asked = []

    def audit(model, images, **settings):
        asked.append((model.digest(), images.digest(), settings["eps"], settings["norm"], repr(settings)))
        findings = tuple(Finding(flag.blocks, None, "seen", "a reason") for flag in measure.RED_FLAGS)
        evaluation = measure.evaluate(model, images, Auto(1e-6), budget=1e-6)  # nothing is attacked, all stand
        return measure.Audit(evaluation, findings, False, "", None, None, settings["effort"])

    read = data.load

    def load(name, split="train", root=None):
        asked.append(root)
        return read(name, split, root)

    monkeypatch.setattr(measure, "audit", audit)
    monkeypatch.setattr(data, "load", load)

    def run(words):
        asked.clear()
        shutil.rmtree(places["FOLDER"], ignore_errors=True)
        done = CliRunner().invoke(app, [places.get(word, word) for word in words])
        text = re.sub("0x[0-9a-f]+", "", f"{asked}")
        kept = sorted(path.name for path in Path(places["FOLDER"]).rglob("*"))
        return TIMES.sub("", done.output), text, kept, done.exit_code, repr(done.exception)

    return run


@pytest.mark.parametrize("command", COMMANDS)
def test_the_table_names_every_option(command):
    declared = typer.main.get_command(app).commands[command].params
    options = {param.opts[0] for param in declared if param.param_type_name == "option"} - {"--help"}
    assert options == set(CHANGES[command])


@pytest.fixture(scope="module")
def plain():
    return {}


@pytest.mark.parametrize(
    ("command", "option"), [(command, option) for command in CHANGES for option in CHANGES[command]]
)
def test_an_option_changes_something(command, option, call, plain):
    words = COMMANDS[command].split()
    if option in ("--quiet", "--json"):
        words = [word for word in words if word != "--json"]
    key = tuple(words)
    if key not in plain:
        plain[key] = call(words)
    assert call([*words, *CHANGES[command][option]]) != plain[key]


@pytest.mark.parametrize(("words", "message"), REFUSED)
def test_what_would_have_no_effect_is_refused(words, message, call):
    *_, code, error = call(words)
    assert code != 0
    assert message in error


def test_a_second_model_that_cannot_be_loaded_is_told_before_the_first_attack(places, monkeypatch):
    monkeypatch.setattr(measure, "predictions", None)
    done = CliRunner().invoke(app, ["compare", places["NET"], "nowhere.py:build", "digits"])
    assert "nowhere.py" in str(done.exception)


@pytest.mark.parametrize("settings", ["", "epochs=1,batch=32"])
def test_a_defence_shows_the_training_that_was_used(settings, places):
    words = ["defend", "weight-decay", "--model", places["NET"], "--n", "20", "--out", places["OUT"], "--json"]
    given = [*words, "--training", settings] if settings else words
    facts = json.loads(CliRunner().invoke(app, given).stdout)
    if settings:
        assert (facts["training"]["epochs"], facts["training"]["batch"]) == (1, 32)
    assert facts["training"].keys() == {field.name for field in fields(models.Training)}
    untrained = CliRunner().invoke(app, ["defend", "bits:bits=4", *words[2:]])
    assert json.loads(untrained.stdout)["training"] is None
