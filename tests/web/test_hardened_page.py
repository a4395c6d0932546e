"""Plain against hardened models, and audits that lie in a run: equal to the run's records, paired by image."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient

from pixelproof.measure.significance import paired
from pixelproof.models import History
from pixelproof.results import AuditRecord, CleanRecord, HardenedRecord
from pixelproof.run import Run
from pixelproof.web.app import create
from pixelproof.web.library import Library
from tiny_runs import real

pytestmark = pytest.mark.slow

PAPER = {"training": None, "clean": None, "robust": None, "time": None}
N = 40


def record(row, seed, right):
    """A hardened model of which `right` of N images hold under each attack."""
    rng = np.random.default_rng([seed, *map(ord, row)])
    held = {name: torch.from_numpy(rng.random(N) < share).float() for name, share in right.items()}
    return HardenedRecord(
        net="mlp",
        row=row,
        seed=seed,
        defences=() if row == "plain" else ("mask:ratio=0.5",),
        eps=0.1,
        cpu_seconds=1.0 if row == "plain" else 3.0,
        history=real().load("history", History),
        parameters=10,
        size_bytes=40,
        seconds_per_image=1e-4,
        features=64,
        labels=torch.arange(N) % 10,
        predicted=torch.arange(N) % 10,
        rows=torch.arange(N),
        held=held,
    )


def hardened(folder, seeds):
    """A copy of a real run with a forged section [defences] of two rows."""
    shutil.copytree(real().folder, folder)
    stored = json.loads((folder / "spec.json").read_text())
    rows = [{"name": name, "paper": PAPER} for name in ("plain", "masked")]
    stored["spec"]["defences"] = {"nets": ["mlp"], "rows": rows, "weight": 0.5}
    (folder / "spec.json").write_text(json.dumps(stored))
    run = Run.open(folder)
    for seed in range(seeds):
        plain = {"clean": 0.9, "fgsm": 0.4, "pgd": 0.3, "auto": 0.2}
        masked = {"clean": 0.8, "fgsm": 0.7, "pgd": 0.6, "auto": 0.5, "auto@0.2": 0.1, "on:pgd + eot": 0.4}
        run.save(f"defences/rows/mlp/plain-{seed}", record("plain", seed, plain))
        run.save(f"defences/rows/mlp/masked-{seed}", record("masked", seed, masked))
    said = AuditRecord("mlp", "masked", N, 0.1, "not shown robust, because ...", False, ("transfer",))
    run.save("defences/audit/mlp/masked", said)
    older = replace(said, verdict="robust accuracy <= 99.0 %", believable=True, raised=())
    run.save("defences/audit/masked", older)  # an older version kept them without the network
    run.save("defences/audit/zebra/masked", older)  # of a network that the study does not have
    on = AuditRecord("mlp", "masked", N, 0.1, "robust accuracy <= 40.0 %", True, (), mask_on=True)
    run.save("defences/audit/mlp/masked-mask-on", on)
    return run


@pytest.fixture
def answer(tmp_path):
    def get(address, seeds=1):
        folder = tmp_path / "hardened"
        run = Run.open(folder) if folder.exists() else hardened(folder, seeds)
        client = TestClient(create(Library([folder]), hosts=("testserver",)))
        found = client.get(f"/api/runs/hardened{address}")
        assert found.status_code == 200, found.text
        return run, found.json()

    return get


def test_hardened_models_stand_beside_the_plain_one(answer):
    run, found = answer("/defences")
    plain, masked = found["rows"]
    assert (plain["row"], plain["plain"], plain["against"]) == ("plain", True, [])
    assert (masked["row"], masked["plain"], masked["cost"]) == ("masked", False, 3.0)
    records = {name: run.load(f"defences/rows/mlp/{name}-0", HardenedRecord) for name in ("plain", "masked")}
    held = {(each["attack"], each["eps"], each["mask_on"]): each["accuracy"]["value"] for each in masked["held"]}
    own = records["masked"].held
    assert held["clean", 0.0, False] == pytest.approx(float(own["clean"].mean()))
    assert held["auto", 0.1, False] == pytest.approx(float(own["auto"].mean()))
    assert held["auto", 0.2, False] == pytest.approx(float(own["auto@0.2"].mean()))
    assert held["pgd + eot", 0.1, True] == pytest.approx(float(own["on:pgd + eot"].mean()))
    for each in masked["against"]:
        a, b = (records[name].held[each["attack"]].bool() for name in ("plain", "masked"))
        expected = paired(int((a & ~b).sum()), int((b & ~a).sum()), N)
        assert each["difference"] == pytest.approx(vars(expected))
    assert plain["audits"] == []
    assert [(said["mask_on"], said["believable"]) for said in masked["audits"]] == [(False, False), (True, True)]
    assert masked["audits"][0]["raised"] == ["transfer"]


def test_several_seeds_are_resampled_as_well(answer):
    run, found = answer("/defences", seeds=3)
    (auto,) = (each for each in found["rows"][1]["against"] if each["attack"] == "auto")
    means = [
        np.mean([run.load(f"defences/rows/mlp/{name}-{seed}", HardenedRecord).held["auto"].mean() for seed in range(3)])
        for name in ("plain", "masked")
    ]
    assert auto["seeds"] == 3
    assert auto["difference"]["value"] == pytest.approx(means[1] - means[0], abs=1e-6)
    assert auto["difference"]["low"] < auto["difference"]["value"] < auto["difference"]["high"]


def test_audits_of_this_classifier_are_read_from_the_runs_folder(answer, tmp_path):
    _, before = answer("/robustness")
    assert "pixelproof audit RUN/model.safetensors digits" in before["audit"]["add"]
    digest = Run.open(tmp_path / "hardened").load("clean", CleanRecord).digest
    for name, model, believable in (("audit", digest, True), ("audit-l2", digest, False), ("other", "0" * 16, True)):
        audited(tmp_path, name, model).finish({"verdict": f"what {name} says", "believable": believable})
    _, after = answer("/robustness")
    assert [(each["norm"], each["believable"]) for each in after["audit"]] == [("l2", False), ("linf", True)]
    assert after["audit"][1]["verdict"] == "what audit says"


def test_an_audit_that_an_older_version_kept_is_named_and_not_guessed_at(answer, tmp_path):
    run, _ = answer("/robustness")
    digest = run.load("clean", CleanRecord).digest
    audited(tmp_path, "audit", digest).finish({"verdict": "robust accuracy <= 3.0 %"})
    audited(tmp_path, "audit-l2", digest).finish({"verdict": "robust accuracy <= 3.0 %", "believable": True})
    _, after = answer("/robustness")
    assert after["audit"]["available"] is False
    assert "kept audit without" in after["audit"]["why"]
    assert "another --out" in after["audit"]["add"]


def audited(folder, name, model):
    """An audit of `model` inside the run, not finished yet."""
    spec = {"command": "audit", "model": model, "norm": "l2" if "l2" in name else "linf", "eps": 0.1, "seed": 0}
    return Run.create(folder / "hardened" / name, spec)


def test_an_audit_command_leaves_what_the_page_reads(tmp_path):
    """The real command, in the folder that the page names."""
    from typer.testing import CliRunner

    from pixelproof.cli.main import app

    folder = tmp_path / "run"
    shutil.copytree(real().folder, folder)
    asked = ["audit", str(folder / "model.safetensors"), "digits", "--eps", "0.15", "--n", "40", "--noise", "5"]
    found = CliRunner().invoke(app, [*asked, "--width", "1", "--out", str(folder / "audit"), "--quiet"])
    assert found.exit_code == 0, found.output
    client = TestClient(create(Library([folder]), hosts=("testserver",)))
    (said,) = client.get("/api/runs/run/robustness").json()["audit"]
    assert said["eps"] == 0.15
    assert said["verdict"].startswith("robust accuracy <=" if said["believable"] else "not shown robust")
    assert client.get("/api/runs/run/gallery").json()["n"] > 0
