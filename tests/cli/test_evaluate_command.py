"""pixelproof evaluate: its JSON, its folder, its errors."""

import json

import pytest
from source_nets import LINEAR
from typer.testing import CliRunner

from pixelproof.cli.amounts import duration
from pixelproof.cli.main import app
from pixelproof.errors import BadInput


def test_the_facts_are_json_and_a_second_call_goes_on_from_the_folder(tmp_path):
    folder, net = str(tmp_path / "kept"), tmp_path / "net.py"
    net.write_text(LINEAR)
    call = ["evaluate", f"{net}:build", "digits", "--eps", "0.1", "--n", "60", "--json", "--out", folder]
    first = CliRunner().invoke(app, call)
    assert first.exit_code == 0, first.output
    facts = json.loads(first.stdout)
    assert facts["n"] == 60
    assert facts["ended"] in ("finished", "stopped by rule", "nothing left standing")
    held = sum(not image["fooled"] for image in facts["images"])
    assert facts["robust_accuracy_at_most"]["value"] == pytest.approx(held / 60)
    assert all((image["broken_by"] is None) != image["fooled"] for image in facts["images"])
    again = json.loads(CliRunner().invoke(app, call).stdout)
    assert again["images"] == facts["images"]
    assert again["parts"] == facts["parts"]
    other = CliRunner().invoke(app, [*call, "--seed", "5"])
    assert "other settings" in str(other.exception)


def test_the_curve_goes_through_the_evaluation_and_never_rises(tmp_path):
    net = tmp_path / "net.py"
    net.write_text(LINEAR)
    call = ["evaluate", f"{net}:build", "digits", "--eps", "0.1", "--n", "60", "--json"]
    facts = json.loads(CliRunner().invoke(app, [*call, "--curve", "4"]).stdout)
    curve = facts["curve"]
    held = [rate["hits"] for rate in curve["robust_accuracy_at_most"]]
    assert curve["eps"] == pytest.approx([0.05, 0.1, 0.15, 0.2])
    assert held == sorted(held, reverse=True)
    assert held[1] <= facts["robust_accuracy_at_most"]["hits"]
    assert curve["searched"] == len(facts["images"])
    plain = CliRunner().invoke(app, [*call[:-1], "--curve", "4", "--quiet"]).stdout
    assert "robust accuracy <=" in plain
    both = CliRunner().invoke(app, [*call, "--curve", "4", "--target", "1"])
    assert "untargeted" in str(both.exception)


def test_a_target_is_the_same_command_with_one_option_more(tmp_path):
    net = tmp_path / "net.py"
    net.write_text(LINEAR)
    call = ["evaluate", f"{net}:build", "digits", "--eps", "0.05", "--n", "60", "--json", "--target", "3"]
    facts = json.loads(CliRunner().invoke(app, call).stdout)
    plain = json.loads(CliRunner().invoke(app, call[:-2]).stdout)
    assert facts["n"] < 60  # those of the target's class are left out
    assert any(image["fooled"] for image in facts["images"])
    assert facts["robust_accuracy_at_most"]["value"] > plain["robust_accuracy_at_most"]["value"]


def test_times_are_read_and_nonsense_is_refused():
    assert [duration(text) for text in ("90s", "10m", "2h", "45")] == [90.0, 600.0, 7200.0, 45.0]
    for text in ("soon", "-3s", "0", "10x", "nan", ""):
        with pytest.raises(BadInput, match="budget"):
            duration(text)


def test_a_surrogate_is_searched_and_the_model_judges(tmp_path):
    net, other = tmp_path / "net.py", tmp_path / "other.py"
    net.write_text(LINEAR)
    other.write_text(LINEAR.replace("manual_seed(0)", "manual_seed(1)"))
    call = ["attack", "fgsm:eps=0.2", "--model", f"{net}:build", "--n", "80", "--json"]
    plain = json.loads(CliRunner().invoke(app, call).stdout)
    same = json.loads(CliRunner().invoke(app, [*call, "--surrogate", f"{net}:build"]).stdout)
    foreign = json.loads(CliRunner().invoke(app, [*call, "--surrogate", f"{other}:build"]).stdout)
    assert same["fooled"] == plain["fooled"]
    assert foreign["fooled"] < plain["fooled"]
    assert foreign["n"] == plain["n"]
    assert foreign["searched_on"].endswith("other.py:build")
    assert plain["searched_on"] is None
    flat = tmp_path / "flat.py"
    flat.write_text(
        LINEAR.replace("nn.Linear(64, 10)", "nn.Linear(64, 9)").replace("10, 64", "9, 64").replace("(10)", "(9)")
    )
    refused = CliRunner().invoke(app, [*call, "--surrogate", f"{flat}:build"])
    assert refused.exit_code != 0
