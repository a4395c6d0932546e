"""A class that was neither attacked nor predicted has no score, and counts in no mean."""

import pytest

from pixelproof import study
from pixelproof.cli.screen import percent as cell
from pixelproof.report import CSV
from pixelproof.report.classes import classes
from pixelproof.report.page import Table, interval, percent
from pixelproof.report.tables import write_csv
from pixelproof.report.training import training
from pixelproof.types import Rate
from pixelproof.views.classes import classes as scored
from pixelproof.views.open_run import OpenRun
from pixelproof.views.overview import overview


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Six test images of ten classes, attacked so weakly that none changes."""
    content = {
        "name": "few",
        "title": "Few images",
        "data": {"name": "digits", "test": 6},
        "training": {"epochs": 5, "batch": 32},
        "model": {"net": "mlp"},
        "attacks": {"specs": ["fgsm"], "eps": [0.0001], "examples": 1},
    }
    return study.conduct(study.parse(content), tmp_path_factory.mktemp("few") / "run", device="cpu")


def test_absent_classes_have_no_scores(run):
    opened = OpenRun(run, "few")
    rows = scored(opened)
    absent = [row for row in rows if not row.n]
    assert len(rows) == 10
    assert len(absent) >= 4
    assert all((row.precision, row.recall, row.f1) == (None, None, None) for row in absent)
    assert all(row.recall == row.f1 == 1 for row in rows if row.n)
    text = str(classes(opened))
    not_run = len(rows) + 1  # the row of an attack that the study left out
    assert text.count("text='–'") == 3 * (len(absent) + not_run)
    assert "text='0.00'" not in text


def test_absent_classes_have_no_scores_among_the_clean_images_either(run):
    opened = OpenRun(run, "few")
    rows = overview(opened).per_class
    absent = [row for row in rows if row.precision is None]
    assert absent
    assert all((row.n, row.correct, row.recall, row.f1) == (0, 0, None, None) for row in absent)
    assert all(row.n or row.recall == 0 for row in rows if row not in absent)
    tables = [block for block in training(opened).blocks if isinstance(block, Table)]
    (table,) = (block for block in tables if block.name == "class-distribution-table")
    shown = [[cell.text for cell in row] for row in table.bodies[0]]
    assert [row[4:] == ["–"] * 3 for row in shown] == [row in absent for row in rows]
    empty = [line.endswith(",,,") for line in write_csv(CSV["clean-classes"](opened)).splitlines()[1:]]
    assert empty == [row in absent for row in rows]


def test_a_rate_of_nothing_is_a_dash():
    assert interval(Rate(0, 0)) == interval(None) == percent(Rate(0, 0).value) == "–"
    assert cell(Rate(0, 0)) == "-"


def test_a_rate_that_is_null_in_some_rows_leaves_its_columns_empty_there():
    rows = [{"name": "a", "right": Rate(1, 2), "n": 3}, {"name": "b", "right": None, "n": 4}]
    for order in (rows, rows[::-1]):
        lines = {line.split(",")[0]: line.split(",") for line in write_csv(order).splitlines()}
        columns = lines.pop("name")
        assert "right" not in columns
        assert sum(column.startswith("right_") for column in columns) >= 3
        assert all(not value for value, column in zip(lines["b"], columns, strict=True) if "right" in column)
