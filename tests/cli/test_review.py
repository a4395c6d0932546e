"""Cases that once went wrong on the command line and in studies, each with what must happen instead."""

import json

import pytest
import torch

from pixelproof import study
from pixelproof.attacks import Foolbox
from pixelproof.errors import BadInput, RunError

NET = """
import torch
from torch import nn

def build():
    torch.manual_seed({seed})
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
"""
SMALL = {
    "name": "small",
    "title": "Small",
    "data": {"name": "digits", "test": 60},
    "attacks": {"specs": ["fgsm"], "eps": [0.1]},
}


def foreign(tmp_path, seed: int) -> dict:
    code = tmp_path / f"net{seed}.py"
    code.write_text(NET.format(seed=seed))
    return {**SMALL, "model": {"net": f"{code}:build"}}


def test_a_run_is_not_continued_with_another_model(tmp_path):
    wanted = study.parse(foreign(tmp_path, 1))
    study.conduct(wanted, tmp_path / "run")
    (tmp_path / "net1.py").write_text(NET.format(seed=2))
    with pytest.raises(RunError, match="another model"):
        study.conduct(wanted, tmp_path / "run")


def test_training_settings_without_training_are_refused(tmp_path):
    with pytest.raises(BadInput, match="is trained"):
        study.parse({**foreign(tmp_path, 1), "training": {"epochs": 3}})


def test_a_figure_needs_one_value_per_eps_and_an_attack_that_runs():
    figure = {"source": "T", "measure": "misclassified", "attack": "fgsm", "eps": [0.1], "values": [0.1, 0.2]}
    with pytest.raises(BadInput, match="one value per eps"):
        study.parse({**SMALL, "paper": [figure]})
    with pytest.raises(BadInput, match="does not run"):
        study.parse({**SMALL, "paper": [{**figure, "values": [0.1], "attack": "pgd"}]})


@pytest.mark.parametrize("eps", [float("inf"), float("nan"), -0.1])
def test_budgets_are_checked_before_anything_runs(eps):
    with pytest.raises(BadInput, match="eps"):
        study.parse({**SMALL, "attacks": {"specs": ["fgsm"], "eps": [eps]}})


def test_an_unknown_foolbox_attack_is_found_before_anything_runs():
    with pytest.raises(BadInput, match="LinfPGD"):
        study.parse({**SMALL, "attacks": {"specs": ["foolbox:LinfPDG"], "eps": [0.1]}})


def test_the_norm_of_a_foolbox_attack_is_its_own():
    assert Foolbox("L2PGD", 0.5).norm == "l2"
    assert Foolbox("LinfPGD", 0.5).norm == "linf"


def test_a_corrected_study_may_use_the_folder_of_a_failed_one(tmp_path):
    broken = study.parse({**SMALL, "training": {"epochs": 1, "learning_rate": 1e30}})
    with pytest.raises(BadInput, match="finite"):
        study.conduct(broken, tmp_path / "run")
    assert study.conduct(study.parse({**SMALL, "training": {"epochs": 1}}), tmp_path / "run").complete


def test_seconds_are_summed_over_interruptions(tmp_path):
    class Stop(Exception):
        pass

    def stop(event: study.Event) -> None:
        if event.stage.startswith("attack"):
            raise Stop

    wanted = study.parse({**SMALL, "training": {"epochs": 2}})
    with pytest.raises(Stop):
        study.conduct(wanted, tmp_path / "run", listener=stop)
    training = json.loads((tmp_path / "run" / "seconds.json").read_text())["stages"]["train"]
    run = study.conduct(wanted, tmp_path / "run")
    assert run.facts["seconds"]["train"] >= training > 0


def test_a_damaged_run_json_is_one_clear_error(tmp_path):
    run = study.conduct(study.parse({**SMALL, "training": {"epochs": 1}}), tmp_path / "run")
    (tmp_path / "run" / "run.json").write_text("{")
    with pytest.raises(RunError, match="readable"):
        _ = run.facts
    (tmp_path / "run" / "run.json").write_text('{"format": 99}')
    with pytest.raises(RunError, match="Upgrade"):
        _ = run.facts


def test_a_sigmoid_is_recognised_and_a_constant_network_is_not_taken_for_one():
    from torch import nn

    from pixelproof import models

    squashed = nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.Sigmoid())
    with pytest.raises(BadInput, match="probabilities"):
        models.wrap(squashed, classes=10, input_shape=(1, 8, 8))
    flat = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    torch.nn.init.zeros_(flat[1].weight)
    torch.nn.init.zeros_(flat[1].bias)
    assert models.wrap(flat, classes=10, input_shape=(1, 8, 8)).layers == ("1",)
