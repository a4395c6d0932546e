"""Two runs compared image by image: counts, tests and intervals equal those made without the explorer."""

import dataclasses
import json
import shutil

import pytest
import torch
from fastapi.testclient import TestClient

from pixelproof.measure.significance import holm, mcnemar, paired
from pixelproof.results import AttackRecord, CleanRecord
from pixelproof.run import Run
from pixelproof.web.app import create
from pixelproof.web.library import Library
from tiny_runs import real


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """The same run twice, but the second classifier holds ten more images under one attack, and loses one."""
    root = tmp_path_factory.mktemp("pair")
    for name in ("first", "second"):
        shutil.copytree(real().folder, root / name)
    run = Run.open(root / "second")
    name = next(each for each in run.names("attack/") if run.load(each, AttackRecord).label == "fgsm")
    record = run.load(name, AttackRecord)
    success = record.success.clone()
    success[success.nonzero()[:10, 0]] = False
    success[(~record.success).nonzero()[:1, 0]] = True
    run.save(name, dataclasses.replace(record, success=success))
    return root, record.eps


@pytest.fixture(scope="module")
def client(folders):
    return TestClient(create(Library([folders[0]]), hosts=("testserver",)))


def test_images_are_paired(folders, client):
    root, eps = folders
    found = client.get("/api/runs/first/against/second").json()
    assert found["n"] == len(real().load("clean", CleanRecord).index)
    cells = {(each["attack"], each["eps"]): each for each in found["cells"]}
    sides = []
    for name in ("first", "second"):
        records = [Run.open(root / name).load(each, AttackRecord) for each in Run.open(root / name).names("attack/")]
        record = next(each for each in records if (each.label, each.eps) == ("fgsm", eps))
        sides.append(set(record.index[~record.success].tolist()))
    cell = cells["fgsm", eps]
    only = len(sides[0] - sides[1]), len(sides[1] - sides[0])
    assert (cell["only_first"], cell["only_second"]) == only
    assert max(only) > 0
    assert cell["first"]["hits"] == len(sides[0])
    assert cell["p"] == pytest.approx(mcnemar(*only))
    assert cell["difference"] == pytest.approx(vars(paired(*only, found["n"], seed=real().spec["seed"])))
    assert [each["p_holm"] for each in found["cells"]] == pytest.approx(holm([each["p"] for each in found["cells"]]))
    same = cells[None, None]
    assert (same["only_first"], same["only_second"], same["p"]) == (0, 0, 1)
    assert same["difference"]["low"] < 0 < same["difference"]["high"], "no image tells them apart: not proof of none"
    assert "two methods" in found["limit"]


def test_runs_on_other_images_are_not_compared(folders, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(real().folder, other)
    run = Run.open(other)
    clean = run.load("clean", CleanRecord)
    run.save("clean", dataclasses.replace(clean, index=clean.index + 10_000))
    stranger = tmp_path / "stranger"
    shutil.copytree(real().folder, stranger)
    stored = json.loads((stranger / "spec.json").read_text())
    stored["spec"]["data"]["name"] = "mnist"
    (stranger / "spec.json").write_text(json.dumps(stored))
    client = TestClient(create(Library([folders[0] / "first", other, stranger]), hosts=("testserver",)))
    for name in ("other", "stranger"):
        answer = client.get(f"/api/runs/first/against/{name}").json()
        assert answer["available"] is False
        assert "no test image" in answer["why"]
    assert client.get("/api/runs/first/against/nothing").status_code == 404


def test_a_replaced_run_is_compared_anew(folders, tmp_path):
    for name in ("first", "second"):
        shutil.copytree(folders[0] / name, tmp_path / name)
    client = TestClient(create(Library([tmp_path]), hosts=("testserver",)))
    before = client.get("/api/runs/first/against/second").json()
    assert any(each["only_second"] for each in before["cells"])
    shutil.rmtree(tmp_path / "second")
    shutil.copytree(folders[0] / "first", tmp_path / "second")
    (tmp_path / "second" / "run.json").touch()
    after = client.get("/api/runs/first/against/second").json()
    assert not any(each["only_second"] for each in after["cells"])
    assert torch.tensor([each["difference"]["value"] for each in after["cells"]]).abs().max() == 0
