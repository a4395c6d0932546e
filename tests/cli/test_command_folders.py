"""pixelproof report on folders that other commands kept."""

import json

import pytest
from source_nets import LINEAR
from typer.testing import CliRunner

from pixelproof.cli.main import app


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
    assert answer["robust_accuracy"]["hits"] == bound["hits"]
    assert answer["robust_accuracy"]["n"] == 60
    assert answer["believable"] is None
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
    assert "expected a folder of evaluate or audit" in str(found.exception)


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
    assert answer["about"] == facts["verdict"]
    assert answer["believable"] == facts["believable"]
    assert [flag["found"] for flag in answer["flags"]] == [flag["found"] for flag in facts["flags"]]
    page = (folder / "report.html").read_text()
    assert all(flag["flag"] in page for flag in facts["flags"])
