"""The command line as a user types it: results on standard output, one line per error, documented exit codes."""

import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from pixelproof.cli import main
from tiny_runs import forge

pytestmark = pytest.mark.slow

STUDY = """
name = "tiny"
title = "Tiny [/255]"
[data]
name = "digits"
test = 60
[training]
epochs = 2
[attacks]
specs = ["fgsm", "pgd:steps=3"]
eps = [0.05, 0.2]
"""


@pytest.fixture
def cli(monkeypatch, capsys):
    """Run one command line in this process: (exit code, standard output, standard error)."""
    before = signal.getsignal(signal.SIGINT)

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["pixelproof", *arguments])
        with pytest.raises(SystemExit) as exit_:
            main()
        captured = capsys.readouterr()
        return int(exit_.value.code or 0), captured.out, captured.err

    yield call
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def study_file(tmp_path):
    path = tmp_path / "tiny.toml"
    path.write_text(STUDY)
    return path


def test_run_prints_a_table_and_writes_a_report(cli, study_file, tmp_path):
    code, out, _ = cli("run", str(study_file), "--out", str(tmp_path / "run"), "--quiet")
    assert code == 0  # also with a title that looks like markup
    assert "clean accuracy" in out
    assert "pgd:steps=3" in out
    assert (tmp_path / "run" / "report.html").is_file()
    assert (tmp_path / "run" / "run.json").is_file()


def test_json_is_one_value_and_the_second_run_gives_the_same(cli, study_file, tmp_path):
    arguments = ("run", str(study_file), "--out", str(tmp_path / "run"), "--json")
    first, second = (json.loads(cli(*arguments)[1]) for _ in range(2))
    assert first["robustness"] == second["robustness"]
    assert {row["eps"] for row in first["robustness"]} == {0.05, 0.2}
    assert all(row["n"] <= 60 for row in first["robustness"])


def test_report_can_be_written_again(cli, study_file, tmp_path):
    cli("run", str(study_file), "--out", str(tmp_path / "run"), "--quiet")
    (tmp_path / "run" / "report.html").unlink()
    code, out, _ = cli("report", str(tmp_path / "run"))
    assert code == 0
    assert (tmp_path / "run" / "report.html").is_file()
    assert "report.html" in out


def test_budgets_of_different_norms_stand_in_tables_of_their_own(cli, tmp_path):
    forge(tmp_path / "run", specs=("pgd", "pgd:norm=l2"), eps=(0.1,))
    out = " ".join(cli("report", str(tmp_path / "run"))[1].split())
    for title in ("by linf eps", "by l2 eps"):
        assert out.count(title) == 2
    tables = out.split("Robust accuracy")[1:]
    assert len(tables) == 2
    assert "norm=l2" not in tables[0]
    assert "norm=l2" in tables[1]


def test_attack_reports_and_saves(cli, tmp_path):
    saved = tmp_path / "adversarial.npz"
    code, out, _ = cli("attack", "pgd:eps=0.2,steps=5", "--n", "40", "--json", "--save", str(saved))
    assert code == 0
    facts = json.loads(out)
    with np.load(saved) as arrays:
        assert facts["fooled"] == arrays["success"].sum()
        assert np.abs(arrays["images"] - arrays["clean"]).max() <= 0.2 + 1e-6


def test_targeted_attack_reaches_its_class(cli, tmp_path):
    saved = tmp_path / "adversarial.npz"
    assert cli("attack", "pgd:eps=0.4", "--n", "40", "--target", "3", "--save", str(saved), "-q")[0] == 0
    with np.load(saved) as arrays:
        assert (arrays["labels"] != 3).all()
        assert arrays["success"].any()
        assert (arrays["predicted"][arrays["success"]] == 3).all()


def test_train_writes_a_model_that_attack_can_load(cli, tmp_path):
    code, out, _ = cli(
        "train", "--model", "mlp", "--training", "epochs=3,batch=32", "--out", str(tmp_path / "r"), "--json"
    )
    model = json.loads(out)["model"]
    assert code == 0
    code, out, _ = cli("attack", "fgsm:0.1", "--model", model, "--n", "30", "--json")
    assert code == 0
    assert json.loads(out)["model"] == "mlp"


def test_list_names_every_attack(cli):
    from pixelproof.attacks import ATTACKS

    code, out, _ = cli("list", "--json")
    assert code == 0
    assert {entry["name"] for entry in json.loads(out)["attacks"]} == set(ATTACKS)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["attack", "fgms:0.1"], ["fgms", "Did you mean 'fgsm'"]),
        (["attack", "pgd:ep=0.1"], ["'ep'", "Did you mean 'eps'"]),
        (["attack", "pgd:eps=-1"], ["eps must be", "-1"]),
        (["attack", "pgd:0.1", "--data", "mnits"], ["mnits", "mnist"]),
        (["attack", "pgd:0.1", "--model", "cn"], ["'cn'", "cnn"]),
        (["attack", "pgd:0.1", "--n", "9", "--target", "12"], ["0..9", "12"]),
        (["run", "nowhere.toml"], ["nowhere.toml"]),
        (["report", "nowhere"], ["nowhere", "run folder"]),
        (["train", "--training", "epoch=3"], ["'epoch'", "epochs"]),
        (["attack", "pgd:0.1", "--device", "gpu0"], ["gpu0"]),
    ],
    ids=lambda value: " ".join(value) if value and value[0] in ("attack", "run", "report", "train") else "",
)
def test_an_error_is_one_line_without_traceback(cli, arguments, words):
    code, out, err = cli(*arguments, "--quiet")
    assert code in (1, 2)
    assert not out
    assert len(err.strip().splitlines()) == 1
    assert "Traceback" not in err
    for word in words:
        assert word in err


def test_debug_shows_the_traceback(monkeypatch):
    from pixelproof.errors import UnknownName

    monkeypatch.setattr(sys, "argv", ["pixelproof", "attack", "pdg:0.1", "--debug"])
    with pytest.raises(UnknownName):
        main()


def test_help_is_instant_because_torch_is_not_imported():
    code = "import sys; sys.argv = ['pixelproof', '--help']\n"
    code += "from pixelproof.cli import main\ntry: main()\nexcept SystemExit: pass\n"
    code += "assert 'torch' not in sys.modules, 'torch was imported'"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


@pytest.mark.slow
def test_ctrl_c_keeps_what_was_finished_and_the_run_continues(cli, study_file, tmp_path):
    text = study_file.read_text().replace("steps=3", "steps=4000")
    study_file.write_text(text)
    command = [sys.executable, "-c", "from pixelproof.cli import main; main()", "run", str(study_file)]
    folder = tmp_path / "run"
    process = subprocess.Popen([*command, "--out", str(folder), "--quiet"], stderr=subprocess.PIPE, text=True)
    while not list(folder.glob("attack/fgsm/*.safetensors")) and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "continue" in err
    assert "Traceback" not in err
    kept = (folder / "model.safetensors").read_bytes()
    study_file.write_text(text)
    assert not (folder / "run.json").exists()
    assert not list(folder.rglob(".*.part"))
    assert cli("run", str(study_file), "--out", str(folder), "--quiet")[0] == 0
    assert (folder / "model.safetensors").read_bytes() == kept
