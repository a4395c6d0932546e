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

from pixelproof import data, measure, models, study
from pixelproof.attacks import Auto
from pixelproof.cli import studies
from pixelproof.cli.main import app
from pixelproof.results import Finding
from pixelproof.web import export as exporting
from pixelproof.web import serve as serving

COMMANDS = {
    "evaluate": "evaluate NET digits --eps 0.05 --n 40 --json",
    "audit": "audit NET digits --eps 0.05 --n 100 --json",
    "compare": "compare NET OTHER digits --eps 0.05 --n 40 --attacks pgd:steps=3 --json",
    "defend": "defend weight-decay --model NET --training epochs=1 --n 40 --out OUT --json",
    "attack": "attack pgd:eps=0.05,steps=3 --model NET --n 40 --json",
    "train": "train --model mlp --training epochs=1 --out FOLDER --json",
    "detect": "detect GOOD digits --detector neighbours:k=5 --fit 200 --n 40 --json",
    "certify": "certify NET digits --n 2 --budget 20 --json",
    "run": "run STUDY --out FOLDER --json",
    "demo": "demo --out FOLDER --json",
    "report": "report RUN --json",
    "explore": "explore RUN",
    "export": "export RUN SITE",
    "list": "list --json",
    "data fetch": "data fetch mnist",
    "data show": "data show digits --json",
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
        "--budget": ["--budget", "9m"],
        "--out": ["--out", "FOLDER"],
        "--fail": ["--fail"],
        "--weights": ["--weights", "WEIGHTS"],
    },
    "compare": {
        **SHARED,
        "--attacks": ["--attacks", "fgsm"],
        "--eps": ["--eps", "0.02,0.05"],
        "--out": ["--out", "FOLDER"],
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
    "attack": {
        **SHARED,
        "--data": ["--data", "NPZ"],
        "--model": ["--model", "OTHER"],
        "--weights": ["--weights", "WEIGHTS"],
        "--target": ["--target", "3"],
        "--surrogate": ["--surrogate", "OTHER"],
        "--out": ["--out", "FOLDER"],
        "--save": ["--save", "FOLDER/saved.npz"],
    },
    "train": {
        **{name: SHARED[name] for name in ("--device", "--seed", "--data-dir", "--quiet", "--json")},
        "--data": ["--data", "NPZ"],
        "--model": ["--model", "masking-cnn"],
        "--training": ["--training", "epochs=2"],
        "--out": ["--out", "FOLDER/further"],
    },
    "detect": {
        **SHARED,
        "--images": ["--images", "NPZ"],
        "--detector": ["--detector", "margin"],
        "--attack": ["--attack", "fgsm:eps=0.2"],
        "--tune": ["--tune", "pgd:eps=0.3,steps=3"],
        "--adaptive": ["--adaptive", "1"],
        "--rate": ["--rate", "0.2"],
        "--fit": ["--fit", "150"],
        "--out": ["--out", "FOLDER"],
        "--weights": ["--weights", "WEIGHTS"],
    },
    "certify": {
        **{name: SHARED[name] for name in ("--seed", "--data-dir", "--quiet", "--json")},
        "--n": ["--n", "1"],
        "--budget": ["--budget", "1e-9"],
        "--out": ["--out", "FOLDER"],
        "--weights": ["--weights", "WEIGHTS"],
    },
    "run": {
        **{name: SHARED[name] for name in ("--device", "--data-dir", "--quiet", "--json")},
        "--out": ["--out", "FOLDER/further"],
    },
    "demo": {
        **{name: SHARED[name] for name in ("--device", "--quiet", "--json")},
        "--out": ["--out", "FOLDER/further"],
        "--serve": ["--serve"],
    },
    "report": {"--quiet": SHARED["--quiet"], "--json": SHARED["--json"]},
    "explore": {
        "--host": ["--host", "0.0.0.0"],
        "--port": ["--port", "9"],
        "--token": ["--token", "12345678"],
        "--no-browser": ["--no-browser"],
        "--data-dir": SHARED["--data-dir"],
        "--quiet": SHARED["--quiet"],
    },
    "export": {
        "--examples": ["--examples", "3"],
        "--data-dir": SHARED["--data-dir"],
        "--quiet": SHARED["--quiet"],
    },
    "list": {"--json": SHARED["--json"]},
    "data fetch": {"--data-dir": SHARED["--data-dir"], "--quiet": SHARED["--quiet"]},
    "data show": {"--data-dir": SHARED["--data-dir"], "--json": SHARED["--json"]},
}
REFUSED = [
    (["evaluate", "NET", "digits", "--curve", "3", "--target", "2"], "untargeted"),
    (["evaluate", "RANDOM", "digits", "--curve", "3", "--n", "20"], "must be deterministic"),
    (["evaluate", "NET", "digits", "--version", "slow"], "version"),
    (["compare", "NET", "OTHER", "digits", "--attacks", "pgd:eps=0.1"], "budgets are those of --eps"),
    (["compare", "NET", "nowhere.py:build", "digits", "--attacks", "pgd"], "nowhere"),
    (["defend", "bits:bits=4", "--training", "epochs=2"], "--training: needs a defence that is trained"),
    (["defend", "bits:bits=4", "--start", "fresh"], "--start: needs a defence that is trained"),
    (["defend", "weight-decay", "--training", "epochs=1,seed=3"], "Give --seed instead"),
    (["train", "--model", "mlp", "--training", "epochs=1,seed=3"], "Give --seed instead"),
    (["compare", "NET", "OTHER", "digits", "--attacks", "", "--eps", "0.1"], "a budget needs an attack"),
    (["detect", "GOOD", "digits", "--images", "NPZ", "--n", "40"], "test images are judged without --images"),
    (["detect", "GOOD", "digits", "--detector", "margin", "--tune", "pgd:eps=0.1"], "only 'neighbours'"),
    (["certify", "NET", "digits", "--seed", "1"], "only a network that is trained here"),
    (["certify", "mlp", "digits", "--weights", "WEIGHTS", "--seed", "1"], "only a network that is trained here"),
    (["attack", "fgsm:eps=0.1", "--model", "NET", "--data", "digits", "--data-dir", "EMPTY"], "Leave --data-dir out"),
    (["evaluate", "NET", "NPZ", "--data-dir", "EMPTY"], "Leave --data-dir out"),
    (["run", "STUDY", "--data-dir", "EMPTY"], "Leave --data-dir out"),
    (["train", "--data", "NPZ", "--data-dir", "EMPTY"], "Leave --data-dir out"),
    (["explore", "RUN", "--data-dir", "EMPTY"], "Leave --data-dir out"),
    (["export", "RUN", "SITE", "--data-dir", "EMPTY"], "Leave --data-dir out"),
    (["data", "show", "digits", "--data-dir", "EMPTY"], "Leave --data-dir out"),
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
    (root / "good.py").write_text(GOOD)
    (root / "empty").mkdir()
    digits = data.load("digits", "train")[:200]
    np.savez(root / "own.npz", images=digits.pixels.numpy()[:, 0], labels=digits.labels)
    (root / "tiny.toml").write_text(STUDY)
    study.conduct(study.load(root / "tiny.toml"), root / "run")
    return {
        "STUDY": str(root / "tiny.toml"),
        "RUN": str(root / "run"),
        "SITE": str(root / "site"),
        "FOLDER/saved.npz": str(root / "folder" / "saved.npz"),
        "FOLDER/further": str(root / "folder" / "further"),
        "NET": f"{root}/net.py:build",
        "OTHER": f"{root}/other.py:build",
        "GOOD": f"{root}/good.py:build",
        "RANDOM": f"{root}/random.py:build",
        "WEIGHTS": str(root / "weights.safetensors"),
        "EMPTY": str(root / "empty"),
        "NPZ": str(root / "own.npz"),
        "OUT": str(root / "out.safetensors"),
        "FOLDER": str(root / "folder"),
    }


STUDY = """
name = "tiny"
title = "Tiny"
[data]
name = "digits"
test = 40
[model]
net = "mlp"
[training]
epochs = 1
[attacks]
specs = ["fgsm"]
eps = [0.1]
"""
GOOD = """
import torch
from torch import nn
from pixelproof.data import load

def build():
    data = load("digits", "train")
    rows = data.images.flatten(1)
    means = torch.stack([rows[data.labels == label].mean(0) for label in range(10)])
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    net.load_state_dict({"1.weight": 2 * means, "1.bias": 20 - means.square().sum(1)})
    return net
"""
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
    for module, name in ((serving, "serve"), (exporting, "export"), (studies, "explore")):
        monkeypatch.setattr(module, name, noted(asked, name))
    monkeypatch.setattr(data, "fetch", noted(asked, "fetch"))
    monkeypatch.setattr("pixelproof.report.write", lambda run: run.folder / "report.html")
    monkeypatch.setattr("pixelproof.study.load", tiny(study.load, places["STUDY"]))

    def run(words):
        asked.clear()
        shutil.rmtree(places["FOLDER"], ignore_errors=True)
        done = CliRunner().invoke(app, [places.get(word, word) for word in words])
        text = re.sub("0x[0-9a-f]+", "", f"{asked}")
        kept = sorted(path.name for path in Path(places["FOLDER"]).rglob("*"))
        return TIMES.sub("", done.output), text, kept, done.exit_code, repr(done.exception)

    return run


def noted(asked, name):
    """Stands for work that is not the command line's: says what it was asked, and reports a step of progress."""

    def work(*given, **settings):
        tell = settings.pop("tell", None) or settings.pop("progress", None)
        asked.append((name, [getattr(each, "root", each) for each in given], settings))
        if tell is not None:
            tell(*(("a link",) if name == "serve" else (1, 2)))
        return 1

    return work


def tiny(load, file):
    """The study of the demo is a small one."""
    return lambda wanted: load(file if wanted == "digits" else wanted)


def every_command():
    """All commands by the words that call them."""
    commands = typer.main.get_command(app).commands
    groups = {name: each.commands for name, each in commands.items() if hasattr(each, "commands")}
    single = {name: each for name, each in commands.items() if name not in groups}
    return single | {f"{name} {word}": each for name, within in groups.items() for word, each in within.items()}


def test_the_table_names_every_command():
    assert set(every_command()) == set(COMMANDS) == set(CHANGES)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_table_names_every_option(command):
    declared = every_command()[command].params
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
        assert plain[key][3:] == (0, "None"), "without the option it must work"
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
