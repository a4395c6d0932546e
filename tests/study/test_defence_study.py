"""Paper 2's stages in a study: complete, resumable, equal to numbers made without it, and reported."""

import json
import shutil
import subprocess
import sys

import pytest
import torch

from pixelproof import attacks, data, report, study, views
from pixelproof.attacks import FGSM, PGD
from pixelproof.errors import BadInput
from pixelproof.measure import HardenedRecord
from pixelproof.models import open_saved
from pixelproof.run import Run

CONTENT = {
    "name": "resist",
    "title": "Resist",
    "data": {"name": "digits"},
    "model": {"net": "mlp"},
    "training": {"epochs": 8, "batch": 32},
    "attacks": {"specs": [], "eps": [0.1]},
    "defences": {
        "seeds": 2,
        "n": 24,
        "steps": 5,
        "draws": 4,
        "scored": 4,
        "search": {"trials": 2, "train": 300, "epochs": 1, "n": 20},
        "rows": [
            {"name": "baseline", "paper": {"training": 0.99, "clean": 0.98, "robust": 0.6, "time": 0.0}},
            {
                "name": "random 50 %",
                "specs": ["mask:ratio=0.5,fill=0,when=train"],
                "test": "masked:ratio=0.5,fill=0,draw=fresh",
                "paper": {"training": 0.95, "clean": 0.92, "robust": 0.85, "time": 0.15},
            },
            {"name": "learned", "specs": ["learned-mask:weight=0.01"]},
            {"name": "ibp", "specs": ["ibp:eps=0.03"], "training": "epochs=12"},
        ],
    },
}


pytestmark = pytest.mark.slow  # a minute of processor time: eight trainings, eight ensembles


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Conducted in a process of its own: with a type check on every call the ensembles take ten times as long."""
    folder = tmp_path_factory.mktemp("resist") / "run"
    code = """import json, sys
from pixelproof import study
study.conduct(study.parse(json.loads(sys.argv[1])), sys.argv[2], device="cpu")"""
    subprocess.run([sys.executable, "-c", code, json.dumps(CONTENT), str(folder)], check=True, timeout=500)
    return Run.open(folder)


def test_eps_is_where_fgsm_leaves_the_baseline_the_wanted_share(run):
    (found,) = views.budgets(run)
    model = open_saved(run.path("defences/models/mlp/baseline-0"), torch.device("cpu"))
    test = data.load("digits", "test")
    left = attacks.mount(FGSM(found["eps"]), model, test).overall_accuracy
    assert float(left) == pytest.approx(found["accuracy"])
    assert abs(found["accuracy"] - 0.6) < 0.03
    assert found["n"] == len(test)


def test_what_held_is_what_the_attacks_give_without_the_study(run):
    record = run.load("defences/rows/mlp/random-50---1", HardenedRecord)
    model = open_saved(run.path("defences/models/mlp/random-50---1"), torch.device("cpu"))
    sample = data.load("digits", "test")[record.rows]
    assert len(sample) == 24
    found = attacks.mount(PGD(record.eps, steps=5), model, sample, seed=1)
    assert float(record.held["pgd"].mean()) == pytest.approx(float(found.overall_accuracy))
    right = model.predict(sample.images).argmax(1) == sample.labels
    assert torch.equal(record.held["clean"], right.float())
    assert (record.held["auto"] <= record.held["clean"]).all()
    assert (record.held["auto"].mean() <= record.held["pgd"].mean() + 0.05).all()
    for name in HardenedRecord.MASKED:
        assert ((record.held[name] * 4).round() - record.held[name] * 4).abs().max() < 1e-5, "four draws each"


def test_rows_put_seeds_together(run):
    rows = {row["row"]: row for row in views.defences(run)}
    assert list(rows) == ["baseline", "random 50 %", "learned", "ibp"]
    base = rows["baseline"]
    records = [run.load(f"defences/rows/mlp/baseline-{seed}", HardenedRecord) for seed in (0, 1)]
    each = [float(record.held["auto"].mean()) for record in records]
    assert base["held"]["auto"]["value"] == pytest.approx(sum(each) / 2)
    assert (base["held"]["auto"]["low"], base["held"]["auto"]["high"]) == (min(each), max(each))
    assert base["cost"] == pytest.approx(1)
    assert not any(name.startswith("on:") for name in base["held"])
    assert rows["learned"]["features"] < 64 == base["features"]
    assert rows["ibp"]["certified"]["value"] <= rows["ibp"]["held"]["auto"]["value"]
    assert rows["ibp"]["history"]["kept"] < 12
    assert len(rows["ibp"]["history"]["training"]) == 12
    assert json.dumps(views.defences(run), allow_nan=False)


def test_the_front_and_the_utility_follow_from_the_rows(run):
    rows = views.defences(run)
    held = views.front(rows)
    for row in rows:
        beaten = any(
            other["clean"]["value"] >= row["clean"]["value"]
            and other["held"]["auto"]["value"] >= row["held"]["auto"]["value"]
            and (other["clean"]["value"], other["held"]["auto"]["value"])
            != (row["clean"]["value"], row["held"]["auto"]["value"])
            for other in rows
        )
        assert (row["row"] in held) != beaten
    found = {entry["row"]: entry for entry in views.utilities(run)}
    assert found["random 50 %"]["claimed"] == pytest.approx((0.92 + 0.85) / 2)
    assert found["random 50 %"]["best_claimed"]
    assert not found["baseline"]["best_claimed"]


def test_the_search_is_ordered_and_never_saw_a_test_image(run):
    found = views.searched(run)
    assert len(found) == 2
    assert found[0]["utility"] >= found[1]["utility"]
    assert all(row["utility"] == pytest.approx((row["clean"] + row["robust"]) / 2) for row in found)


def test_a_run_goes_on_where_it_stopped_and_gives_the_same(run, tmp_path):
    shutil.copytree(run.folder, tmp_path / "run")
    (tmp_path / "run" / "run.json").unlink()
    (tmp_path / "run" / "defences" / "rows" / "mlp" / "learned-0.safetensors").unlink()
    (tmp_path / "run" / "defences" / "search.safetensors").unlink()
    again = study.conduct(study.parse(CONTENT), tmp_path / "run", device="cpu")
    before, after = (r.load("defences/rows/mlp/learned-0", HardenedRecord) for r in (run, again))
    assert all(torch.equal(before.held[name], after.held[name]) for name in before.held)
    assert [row["utility"] for row in views.searched(again)] == [row["utility"] for row in views.searched(run)]


def test_the_report_has_the_tables_and_figures_of_the_paper(run, tmp_path):
    page = report.write(Run.open(run.folder), tmp_path).read_text()
    for words in (
        "Can it resist?",
        "Table I beside ours",
        "Table II beside ours",
        "mask on, naive",
        "Recommendation for mlp",
    ):
        assert words in page
    for figure in ("defence-masks-mlp", "defence-tradeoff-mlp", "defence-features-mlp", "defence-curves-mlp"):
        assert (tmp_path / "figures" / f"{figure}.svg").is_file()
    rows = (tmp_path / "tables" / "defences.csv").read_text().splitlines()
    assert len(rows) == 5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rows": [{"name": "first", "specs": ["dropout"]}]}, "first row must be the baseline"),
        ({"rows": [{"name": "a"}, {"name": "a"}]}, "each row's name once"),
        ({"rows": [{"name": "a"}, {"name": "b", "specs": ["fgsm-rs", "trades"]}]}, "contradict"),
        ({"rows": [{"name": "a"}, {"name": "b", "test": "masked:ratio=0.3"}]}, "fill"),
        ({"nets": ["lenet"]}, "networks must be of"),
        ({"calibrate": 1.0}, "calibrate"),
    ],
)
def test_sections_that_cannot_be_are_refused(change, message):
    with pytest.raises(BadInput, match=message):
        study.parse(CONTENT | {"defences": CONTENT["defences"] | change})
