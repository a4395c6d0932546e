"""A class that was neither attacked nor predicted has no score, and counts in no mean."""

import pytest

from pixelproof import study
from pixelproof.report.classes import classes
from pixelproof.report.tables import write_csv
from pixelproof.types import Rate
from pixelproof.views.classes import classes as scored
from pixelproof.views.open_run import OpenRun


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


def test_a_rate_that_is_null_in_some_rows_leaves_its_columns_empty_there():
    rows = [{"name": "a", "right": Rate(1, 2), "n": 3}, {"name": "b", "right": None, "n": 4}]
    for order in (rows, rows[::-1]):
        lines = {line.split(",")[0]: line.split(",") for line in write_csv(order).splitlines()}
        columns = lines.pop("name")
        assert "right" not in columns
        assert sum(column.startswith("right_") for column in columns) >= 3
        assert all(not value for value, column in zip(lines["b"], columns, strict=True) if "right" in column)
