"""Robust accuracy is over all images judged, left standing over those right before, wherever either is said."""

import csv
import io
import json

import pytest
from pydantic import TypeAdapter
from typer.testing import CliRunner

from golden.freeze import TOP, folder
from pixelproof import report, views
from pixelproof.cli.main import app
from pixelproof.run import Run
from pixelproof.views.answer import held
from tiny_runs import CONTENT, real

OF_ALL = ("clean_accuracy", "robust_accuracy", "certified_accuracy", "together")
OF_RIGHT = ("left_standing", "proven")
SUBJECTS = (views.overview, views.robustness, views.one_pixel, views.defences, views.detectors, views.signatures)


@pytest.fixture(scope="module")
def run():
    """A run whose network gets some of the test images wrong."""
    return views.OpenRun(Run.open(folder("whole")), "whole")


def rates(answer, place=""):
    """Every rate in an answer: where it stands, its name, itself, and the answer that it is a field of."""
    if isinstance(answer, dict):
        for name, value in answer.items():
            if isinstance(value, dict) and {"hits", "n"} <= set(value):
                yield f"{place}.{name}", name, value, answer
            else:
                yield from rates(value, f"{place}.{name}")
    elif isinstance(answer, list):
        for number, each in enumerate(answer):
            yield from rates(each, f"{place}[{number}]")


def test_every_rate_of_every_answer_counts_the_images_that_its_name_says(run):
    clean = views.overview(run).clean_accuracy
    assert clean.hits < clean.n, "the two ways of counting must differ"
    seen = set()
    for subject in SUBJECTS:
        answer = held(lambda subject=subject: subject(run))
        plain = None if answer is None else json.loads(TypeAdapter(type(answer)).dump_json(answer))
        for place, name, rate, around in rates(plain, subject.__name__):
            if name in OF_ALL:
                assert rate["n"] == around.get("offered", clean.n), place
            elif name in OF_RIGHT:
                sampled = "sampled" in place or "proofs" in place
                assert rate["n"] <= clean.hits if sampled else rate["n"] == clean.hits, place
            assert "robust" not in name or name == "robust_accuracy", place
            seen.add(name)
    assert seen >= {*OF_ALL, *OF_RIGHT}


def test_robust_accuracy_by_class_adds_up_to_the_whole(run):
    for row in views.robustness(run).rows:
        assert sum(rate.hits for rate in row.per_class) == row.robust_accuracy.hits == row.left_standing.hits
        assert sum(rate.n for rate in row.per_class) == row.robust_accuracy.n


def test_the_tables_count_as_the_views_do(run, tmp_path, monkeypatch):
    monkeypatch.chdir(TOP)
    report.write(run.run, tmp_path)
    clean = views.overview(run).clean_accuracy
    for name in ("robustness", "worst-case"):
        rows = list(csv.DictReader(io.StringIO((tmp_path / "tables" / f"{name}.csv").read_text())))
        assert rows
        assert {int(row["robust_accuracy_n"]) for row in rows} == {clean.n}
        assert {int(row["left_standing_n"]) for row in rows} == {clean.hits}


def test_study_attack_and_compare_say_the_same_of_the_same_images(tmp_path):
    run, eps = real(), CONTENT["attacks"]["eps"][0]
    opened = views.OpenRun(run, "tiny")
    (row,) = (row for row in views.robustness(opened).rows if (row.attack, row.eps) == ("fgsm", eps))
    assert row.robust_accuracy.n > row.left_standing.n, "the two ways of counting must differ"
    weights = str(run.path("model"))
    same = ["--n", str(CONTENT["data"]["test"]), "--seed", str(CONTENT["seed"]), "--json"]

    def said(*call):
        return json.loads(CliRunner().invoke(app, [*call, *same], catch_exceptions=False).stdout)

    attacked = said("attack", f"fgsm:eps={eps}", "--model", weights)
    compared = said("compare", weights, weights, "digits", "--attacks", "fgsm", "--eps", str(eps))
    whole = {"hits": row.robust_accuracy.hits, "n": CONTENT["data"]["test"]}
    assert {key: attacked["robust_accuracy"][key] for key in whole} == whole
    assert {key: compared["cells"][1]["first"]["accuracy"][key] for key in whole} == whole
    assert attacked["left_standing"]["hits"] == row.left_standing.hits
    assert attacked["left_standing"]["n"] == row.left_standing.n
    page = report.write(run, tmp_path).read_text().replace("\u00a0", " ")
    shown = [f"{100 * float(rate):.1f} % [" for rate in (row.robust_accuracy, row.left_standing)]
    assert all(text in page for text in shown)
    printed = CliRunner().invoke(app, ["report", str(run.folder)]).stdout
    assert f"Robust accuracy, of all {row.robust_accuracy.n} images" in printed
    assert f"Left standing, of the {row.left_standing.n} correctly classified" in " ".join(printed.split())
    assert shown[0].removesuffix(" [") in printed
