"""Budgets, times and shares as commands are given them: read in one way, refused before any work, shown again."""

import json
import sys

import pytest
from source_nets import LINEAR
from typer.testing import CliRunner

from pixelproof.cli.amounts import budgets_up_to, share, size, sizes
from pixelproof.cli.main import app
from pixelproof.errors import BadInput

IMPOSSIBLE = ("abc", "8/0", "-1", "8", "nan", "inf")


@pytest.fixture
def net(tmp_path):
    path = tmp_path / "net.py"
    path.write_text(LINEAR)
    return f"{path}:build"


@pytest.mark.parametrize("text", IMPOSSIBLE)
@pytest.mark.parametrize("command", ["evaluate", "audit", "compare", "defend"])
def test_a_budget_that_cannot_be_right_is_refused_before_any_work(command, text, monkeypatch):
    """Nothing is loaded: the functions that would do it are gone."""
    for module in ("evaluate", "audit", "compare", "defend"):
        monkeypatch.delattr(sys.modules[f"pixelproof.cli.{module}"], "chosen_model")
    words = {
        "evaluate": ["evaluate", "mlp", "digits"],
        "audit": ["audit", "mlp", "digits"],
        "compare": ["compare", "mlp", "mlp", "digits"],
        "defend": ["defend", "bits:bits=4"],
    }[command]
    done = CliRunner().invoke(app, [*words, f"--eps={text}"])
    assert isinstance(done.exception, BadInput), done.output


def test_sizes_are_numbers_or_fractions():
    assert size("8/255") == 8 / 255
    assert size("8", "l2") == 8.0
    assert sizes("2/255, 1/255,") == [1 / 255, 2 / 255]
    assert (share("40%"), share("0.4"), share("0")) == (0.4, 0.4, 0.0)
    for text in ("40", "-1%", "half"):
        with pytest.raises(BadInput, match="fail-under"):
            share(text)


def test_a_curve_ends_where_every_image_is_within_reach():
    from pixelproof.attacks import Auto

    assert budgets_up_to(Auto(0.1), 4) == pytest.approx([0.05, 0.1, 0.15, 0.2])
    assert budgets_up_to(Auto(0.8), 4) == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert budgets_up_to(Auto(0.8, "l2"), 2) == pytest.approx([0.8, 1.6])


def test_eps_comes_back_as_it_was_given(net, tmp_path):
    words = ["evaluate", net, "digits", "--eps", "2/255", "--n", "40"]
    facts = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)
    assert (facts["eps"], facts["eps_given"]) == (2 / 255, "2/255")
    shown = CliRunner().invoke(app, [*words, "--curve", "4", "--quiet"]).stdout
    for eps in ("eps=2/255", "1/255", "3/255", "4/255"):
        assert eps in shown
    assert "0.0078" not in shown
    words = ["defend", "bits:bits=4", "--model", net, "--n", "20", "--out", str(tmp_path / "hardened.safetensors")]
    defended = CliRunner().invoke(app, [*words, "--eps", "2/255"])
    assert "eps=2/255" in defended.stdout
    assert "0.0078" not in defended.stdout


def test_what_stands_is_counted_over_all_images_and_over_the_correct_ones(net):
    facts = json.loads(CliRunner().invoke(app, ["evaluate", net, "digits", "--eps", "0.02", "--json"]).stdout)
    clean, robust, standing = (facts[key] for key in ("clean_accuracy", "robust_accuracy_at_most", "left_standing"))
    assert robust["hits"] == standing["hits"]
    assert robust["n"] == clean["n"] == facts["n"]
    assert standing["n"] == clean["hits"]
    assert standing["value"] >= robust["value"]


@pytest.mark.parametrize(("threshold", "code"), [("0%", 0), ("100%", 3)])
def test_a_gate_fails_on_a_low_bound(net, threshold, code):
    words = ["evaluate", net, "digits", "--eps", "0.1", "--n", "30", "--fail-under", threshold, "--json"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == code
    assert json.loads(done.stdout)["n"] == 30


def test_a_model_that_guesses_is_called_so_by_every_command(tmp_path):
    """The order of the classes is turned round: hardly any image is right."""
    path = tmp_path / "turned.py"
    path.write_text(LINEAR.replace("def build", "def right") + TURNED)
    net = f"{path}:build"
    calls = (
        ["evaluate", net, "digits", "--eps", "0.01", "--n", "60"],
        ["audit", net, "digits", "--eps", "0.01", "--n", "60", "--width", "1", "--noise", "5"],
        ["compare", net, net, "digits", "--attacks", "fgsm", "--eps", "0.01", "--n", "60"],
        ["attack", "fgsm:eps=0.01", "--model", net, "--n", "200"],
        ["detect", net, "digits", "--detector", "margin", "--attack", "fgsm:eps=0.01"],
        ["defend", "bits:bits=6", "--model", net, "--n", "60", "--out", str(tmp_path / "hardened.safetensors")],
    )
    for words in calls:
        done = CliRunner().invoke(app, [*words, "--quiet"])
        assert done.exit_code == 0, done.output
        assert "WARNING" in done.stderr, words[0]
        assert "not above chance" in done.stderr


TURNED = """

class Turned(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = right()

    def forward(self, x):
        logits = self.net(x)
        top = nn.functional.one_hot(logits.argmax(1), 10)
        return -logits + 0 * top


def build():
    return Turned()
"""
