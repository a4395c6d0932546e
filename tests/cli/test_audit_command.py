"""pixelproof audit and pixelproof compare: verdict first, JSON, folders, errors."""

import json

import pytest
from typer.testing import CliRunner

from pixelproof.cli.amounts import sizes
from pixelproof.cli.main import app
from pixelproof.errors import BadInput, UnknownName
from pixelproof.measure import RED_FLAGS

pytestmark = pytest.mark.slow

NET = """
import torch
from torch import nn

class Dream(nn.Module):
    def forward(self, x):
        with torch.enable_grad():
            inner = x.detach().requires_grad_()
            torch.autograd.grad((inner**2).sum(), inner)
        return x

def make(*first, seed=0):
    net = nn.Sequential(*first, nn.Flatten(), nn.Linear(64, 10))
    weights = torch.randn(10, 64, generator=torch.Generator().manual_seed(seed))
    net[-1].load_state_dict({"weight": weights / 8, "bias": torch.zeros(10)})
    return net

def plain():
    return make()

def other():
    return make(seed=1)

def dream():
    return make(Dream())
"""


@pytest.fixture
def net(tmp_path):
    path = tmp_path / "net.py"
    path.write_text(NET)
    return path


def call(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def test_the_verdict_comes_first_and_every_flag_follows(net):
    done = call("audit", f"{net}:dream", "digits", "--eps", "0.05", "--n", "100", "--noise", "50")
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("not shown robust, because")
    assert "proven" not in done.stdout, "no interval bounds go through a layer of one's own"
    for flag in RED_FLAGS:
        assert flag.name.split()[0] in done.stdout


def test_an_audit_as_json_is_kept_and_goes_on(net, tmp_path):
    words = ("audit", f"{net}:plain", "digits", "--eps", "0.02", "--n", "100", "--noise", "50", "--json")
    words = (*words, "--trained-with", "fgsm:eps=0.02", "--reported", "fgsm", "--surrogate", f"{net}:other")
    first = call(*words, "--out", tmp_path / "kept")
    assert first.exit_code == 0, first.output
    facts = json.loads(first.stdout)
    flags = {flag["flag"]: flag for flag in facts["flags"]}
    assert len(flags) == len(RED_FLAGS)
    assert flags["train and test attack identical"]["status"] == "raised"
    assert flags["single step only"]["status"] == "raised"
    assert flags["transfer failure"]["status"] in ("raised", "clear")
    assert facts["believable"]
    assert facts["verdict"].startswith("robust accuracy <=")
    at_least, at_most = facts["robust_accuracy_at_least"], facts["robust_accuracy_at_most"]
    assert 0 < at_least["hits"] == at_most["hits"], "on a linear network bounds and attacks meet"
    assert all(flag["source"] and flag["threshold"] and flag["test"] for flag in flags.values())
    assert json.loads(call(*words, "--out", tmp_path / "kept").stdout)["flags"] == facts["flags"]
    assert "other settings" in str(call(*words, "--out", tmp_path / "kept", "--seed", "3").exception)


def test_what_an_audit_cannot_read_is_one_clear_error(net):
    assert "expected a number" in str(call("audit", f"{net}:plain", "digits", "--eps", "much").exception)
    assert isinstance(call("audit", f"{net}:plain", "digits", "--norm", "l1").exception, UnknownName)
    few = call("audit", f"{net}:plain", "digits", "--eps", "0.1", "--n", "40")
    assert "needs at least 93 images" in str(few.exception)


def test_two_models_side_by_side(net):
    words = ("compare", f"{net}:plain", f"{net}:other", "digits", "--attacks", "fgsm pgd:steps=5", "--eps", "0.02,0.01")
    shown = call(*words, "--n", "60")
    assert shown.exit_code == 0, shown.output
    assert "fgsm eps=0.01" in shown.stdout
    assert "3 training seeds" in shown.output.replace("\n", " ")
    facts = json.loads(call(*words, "--n", "60", "--json").stdout)
    assert [cell["condition"].split(",")[0] for cell in facts["cells"]] == [
        "clean",
        "fgsm:eps=0.01",
        "fgsm:eps=0.02",
        "pgd:eps=0.01",
        "pgd:eps=0.02",
    ]
    for cell in facts["cells"]:
        gained = cell["only_second"] - cell["only_first"]
        assert cell["difference"]["value"] == pytest.approx(gained / 60)
        assert cell["second"]["accuracy"]["hits"] - cell["first"]["accuracy"]["hits"] == gained
    same = json.loads(call("compare", f"{net}:plain", f"{net}:plain", "digits", "--n", "60", "--json").stdout)
    assert same["verdict"] == "no difference shown in 3 of 3 cells"


def test_budgets_are_read_in_order():
    assert sizes("0.1, 8/255,0.02") == [0.02, 8 / 255, 0.1]
    for text in ("", "a", "1/0"):
        with pytest.raises(BadInput, match="--eps"):
            sizes(text)
