"""What stands in a table's head is what the result says: attacks with their steps, budgets as they were given."""

import csv
import io
from dataclasses import replace

import pytest

from golden.freeze import folder
from pixelproof.report import CSV
from pixelproof.report.defence_tables import search
from pixelproof.report.robustness import robustness
from pixelproof.report.summary import summary
from pixelproof.report.tables import write_csv
from pixelproof.results import HardenedRecord, catalogue
from pixelproof.run import Run
from pixelproof.views import OpenRun, defences
from pixelproof.views.hardened import _held
from tiny_runs import forge


@pytest.mark.parametrize(("attack", "head"), [("pgd:steps=20", "PGD-20"), ("pgd:steps=7", "PGD-7"), ("fgsm", "FGSM")])
def test_the_search_names_the_attack_that_judged_it(attack, head):
    run = Run.open(folder("hardened"))
    rows = defences(OpenRun(run, "hardened")).search
    assert {row.attack for row in rows} == {"pgd:steps=20"}, "what runs used before they kept it"
    table = search(run, [row.model_copy(update={"attack": attack}) for row in rows])
    assert head in table.columns
    assert f" {head} at eps " in table.caption


def test_budgets_are_shown_as_they_were_given(tmp_path):
    run = forge(tmp_path / "run", specs=("fgsm", "pgd"), eps=(2 / 255, 0.1))
    opened = OpenRun(run, "run")
    page = str(summary(opened)) + str(robustness(opened))
    for text in ("'2/255'", "linf 2/255", "linf 0.1"):
        assert text in page
    assert "0.0078" not in page
    rows = list(csv.DictReader(io.StringIO(write_csv(CSV["robustness"](opened)))))
    assert [(float(row["eps"]), row["eps_given"]) for row in rows] == [(2 / 255, "2/255"), (0.1, "0.1")] * 2
    assert {each.label for each in opened.sets if each.attack == "pgd"} == {"pgd at L∞ 2/255", "pgd at L∞ 0.1"}


def test_a_further_budget_is_the_one_the_study_gave():
    record: HardenedRecord = next(iter(catalogue.HARDENED.all(Run.open(folder("hardened")))))
    marked = replace(record, held={"clean": record.held["clean"], f"pgd@{8 / 255:g}": record.held["clean"]})
    assert [each.eps for each in _held([marked], [8 / 255])] == [0.0, 8 / 255]
