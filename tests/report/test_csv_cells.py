"""A cell of a table is text where a name is meant, and a number where a number is meant."""

import csv
import io

import pytest

from pixelproof.report.tables import write_csv

CELLS = {
    "=1+1": "'=1+1",
    "+x": "'+x",
    "-cmd": "'-cmd",
    "@sum": "'@sum",
    "\t=1": "'\t=1",
    "cat": "cat",
    "-0.5": "-0.5",
    -0.5: "-0.5",
    "": "",
    None: "",
}


@pytest.mark.parametrize("value", CELLS)
def test_no_name_is_a_formula(value):
    rows = list(csv.reader(io.StringIO(write_csv([{"class": value, "inner": {"names": [value]}}]), newline="")))
    assert rows[0] == ["class", "inner_names"]
    assert rows[1][0] == CELLS[value]
    if isinstance(value, str):
        assert rows[1][1] == CELLS[value]


def test_numbers_in_a_list_stay_numbers():
    assert write_csv([{"v": [-1, 2.5]}]) == "v\n-1 2.5\n"
