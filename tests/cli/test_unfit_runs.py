"""A run whose results do not fit together is one sentence to the commands that read it."""

import shutil
import signal
import sys

import pytest

from pixelproof.cli import main
from tiny_runs import forge


def no_facts(run):
    (run.folder / "run.json").write_text('{"format": 1}')


def foreign(run):
    other = forge(run.folder.parent / "other", n=7, specs=("pgd",))
    shutil.copy(other.path("attack/pgd/eps-0.1"), run.path("attack/pgd/eps-0.1"))


def no_study(run):
    (run.folder / "spec.json").write_text('{"format": 1, "spec": {"name": ["a"]}}')


def deep(run):
    (run.folder / "run.json").write_text("[" * 50_000)


@pytest.mark.parametrize("spoil", [no_facts, foreign, no_study, deep])
def test_report_says_it_in_one_line(tmp_path, monkeypatch, capsys, spoil):
    spoil(forge(tmp_path / "run"))
    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(sys, "argv", ["pixelproof", "report", str(tmp_path / "run")])
    with pytest.raises(SystemExit) as ended:
        main()
    signal.signal(signal.SIGINT, before)
    said = capsys.readouterr().err
    assert ended.value.code == 1
    assert said.count("\n") == 1
    assert "unexpected" not in said
