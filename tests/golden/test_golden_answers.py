"""Tables, report and explorer say of two runs of an earlier revision what they said when those runs were made.

The runs and what is expected of them are files here. Where a change is meant: PYTHONPATH=tests python -m golden.freeze
"""

import json

import pytest

from golden.asking import of_report, of_server
from golden.differences import differences, tolerance
from golden.freeze import MOST, RUNS, TOP, expected, folder
from pixelproof import study
from pixelproof.run import Run

SHOWN = 40
PARTS = [(run, part) for run in RUNS for part in ("answers", "examples")] + [("server", "answers")]


@pytest.fixture(autouse=True)
def top(monkeypatch):
    """The runs name their data by a path from the top of the repository."""
    monkeypatch.chdir(TOP)


@pytest.fixture(scope="module")
def reported(tmp_path_factory):
    """Tables and text of each run's report, written once."""
    return {run: of_report(folder(run), MOST, tmp_path_factory.mktemp(run)) for run in RUNS}


def frozen(name):
    return json.loads(expected(name).read_text())


def check(name, got):
    """Fails with one line per difference, each with its path in the file of what is expected."""
    wanted = frozen(name)
    # What is expected went through JSON, so what was got must, too: a tuple is a list there.
    got = json.loads(json.dumps(got))
    found = []
    for key in sorted({*wanted, *got}):
        if key not in got or key not in wanted:
            found.append(f"{key}: {'missing' if key in wanted else 'new, and not frozen'}")
        else:
            found += differences(wanted[key], got[key], key, tolerance(key))
    if found:
        more = f"\n... and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        pytest.fail(f"{name}.json, {len(found)} differences:\n" + "\n".join(found[:SHOWN]) + more, pytrace=False)


@pytest.mark.parametrize("run", RUNS)
def test_the_report_writes_the_same_tables(run, reported):
    check(f"{run}-tables", reported[run][0])


@pytest.mark.parametrize("run", RUNS)
def test_the_report_reads_the_same(run, reported):
    check(f"{run}-report", reported[run][1])


@pytest.mark.parametrize(("run", "part"), PARTS)
def test_the_server_answers_the_same(run, part):
    wanted = frozen(f"{run}-{part}")
    check(f"{run}-{part}", of_server([folder(each) for each in RUNS], MOST, list(wanted)))


@pytest.mark.parametrize("run", RUNS)
def test_the_study_of_an_old_run_still_means_the_same(run):
    """Whatever settings came later, those that it was given stand as they were."""
    spec = Run.open(folder(run)).spec
    now = study.parse(dict(spec)).model_dump(mode="json")
    found = list(differences(spec, now, "spec", tolerance("spec")))
    assert [line for line in found if ": new; got" not in line] == []
