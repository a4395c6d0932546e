"""pixelproof report and explore on folders that other commands kept."""

import json
import shutil

import pytest
from fastapi.testclient import TestClient
from source_nets import LINEAR
from typer.testing import CliRunner

from pixelproof.cli.main import app
from pixelproof.report import command_page
from pixelproof.web.app import create
from pixelproof.web.library import Library


@pytest.fixture
def evaluated(tmp_path):
    net, folder = tmp_path / "net.py", tmp_path / "kept"
    net.write_text(LINEAR)
    call = ["evaluate", f"{net}:build", "digits", "--eps", "0.1", "--n", "60", "--json", "--out", str(folder)]
    found = CliRunner().invoke(app, call)
    assert found.exit_code == 0, found.output
    return folder, json.loads(found.stdout)


def test_an_evaluation_is_reported_with_its_figures(evaluated):
    folder, facts = evaluated
    found = CliRunner().invoke(app, ["report", str(folder), "--json"])
    assert found.exit_code == 0, (found.output, found.exception)
    answer = json.loads(found.stdout)["answer"]
    bound = facts["robust_accuracy_at_most"]
    assert answer == facts, "one answer, whether the command prints it or its folder is read"
    assert bound["n"] == 60
    page = (folder / "report.html").read_text()
    assert f"{100 * bound['value']:.1f}\u00a0%" in page
    assert f"[{100 * bound['low']:.1f}, {100 * bound['high']:.1f}]" in page
    assert all(part["spec"] in page for part in facts["parts"] if "&" not in part["spec"])


def test_a_folder_of_an_unknown_command_is_one_sentence(evaluated):
    folder, _ = evaluated
    spec = json.loads((folder / "spec.json").read_text())
    spec["spec"]["command"] = "guess"
    (folder / "spec.json").write_text(json.dumps(spec))
    found = CliRunner().invoke(app, ["report", str(folder)])
    assert "expected a folder of attack, evaluate, audit, compare, detect, certify, defend" in str(found.exception)


def test_an_audit_is_reported_with_its_verdict_and_every_flag(tmp_path):
    net, folder = tmp_path / "net.py", tmp_path / "kept"
    net.write_text(LINEAR)
    call = ["audit", f"{net}:build", "digits", "--eps", "0.02", "--n", "100", "--noise", "50", "--reported", "fgsm"]
    asked = CliRunner().invoke(app, [*call, "--json", "--out", str(folder)])
    assert asked.exit_code == 0, asked.output
    facts = json.loads(asked.stdout)
    found = CliRunner().invoke(app, ["report", str(folder), "--json"])
    assert found.exit_code == 0, (found.output, found.exception)
    answer = json.loads(found.stdout)["answer"]
    assert answer == facts
    assert answer["robust_accuracy_at_least"]["n"] == 100
    page = (folder / "report.html").read_text()
    assert all(flag["flag"] in page for flag in facts["flags"])


COMMANDS = {
    "attack": "attack pgd:eps=0.05,steps=3 --model NET --data digits --n 40",
    "compare": "compare NET OTHER digits --eps 0.05 --n 40 --attacks pgd:steps=3",
    "detect": "detect NET digits --detector margin --attack fgsm:eps=0.3 --n 60",
    "certify": "certify NET digits --n 2 --budget 20",
    "defend": "defend weight-decay --model NET --training epochs=1 --n 40",
}
AGAIN = {"new", "folder", "milliseconds_per_image"}  # they say when something was made


@pytest.mark.parametrize("command", COMMANDS)
def test_the_folder_of_a_command_is_taken_up_and_reported_with_its_answer(command, tmp_path):
    (tmp_path / "net.py").write_text(LINEAR)
    (tmp_path / "other.py").write_text(LINEAR.replace("manual_seed(0)", "manual_seed(1)"))
    places = {"NET": f"{tmp_path}/net.py:build", "OTHER": f"{tmp_path}/other.py:build"}
    words = [places.get(word, word) for word in COMMANDS[command].split()]
    asked = [*words, "--json", "--out", str(tmp_path / "kept")]
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == 0, (done.output, done.exception)
    facts = json.loads(done.stdout)
    again = json.loads(CliRunner().invoke(app, asked).stdout)
    assert without(again) == without(facts)
    found = CliRunner().invoke(app, ["report", str(tmp_path / "kept"), "--json"])
    assert found.exit_code == 0, (found.output, found.exception)
    assert without(json.loads(found.stdout)["answer"]) == without(facts)
    changed = [places["OTHER"] if word == places["NET"] else word for word in asked]
    other = CliRunner().invoke(app, changed)
    assert "other settings" in str(other.exception)


def without(value):
    """An answer without what says when it was made."""
    if isinstance(value, dict):
        return {key: without(item) for key, item in value.items() if key not in AGAIN}
    return [without(item) for item in value] if isinstance(value, list) else value


def test_a_command_that_fails_before_anything_is_kept_leaves_no_folder(tmp_path):
    (tmp_path / "net.py").write_text(LINEAR)
    words = ["certify", f"{tmp_path}/net.py:build", "digits", "--budget", "0", "--out", str(tmp_path / "kept")]
    assert CliRunner().invoke(app, words).exit_code != 0
    assert not (tmp_path / "kept").exists()


def test_explore_lists_folders_of_commands_and_shows_their_pages(evaluated, tmp_path):
    folder, facts = evaluated
    (tmp_path / "net.py").write_text(LINEAR)
    words = [
        "certify",
        f"{tmp_path}/net.py:build",
        "digits",
        "--n",
        "1",
        "--out",
        str(folder.parent / "proof"),
        "--json",
    ]
    assert CliRunner().invoke(app, words).exit_code == 0
    broken = folder.parent / "broken"
    shutil.copytree(folder, broken)
    (broken / "evaluation.safetensors").write_bytes(b"half")
    client = TestClient(create(Library([folder.parent], page=command_page), hosts=("testserver",)))
    home = client.get("/api").json()
    assert {card["id"]: card["command"] for card in home["commands"]} == {"kept": "evaluate", "proof": "certify"}
    assert [each["name"] for each in home["damaged"]] == ["broken"], "one that cannot be read is named and left out"
    page = client.get("/api/commands/kept.html")
    assert f"{100 * facts['robust_accuracy_at_most']['value']:.1f}\u00a0%" in page.text
    assert "script" not in page.headers["content-security-policy"]
    assert client.get("/api/commands/nowhere.html").status_code == 404
