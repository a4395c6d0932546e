"""Progress in a log file: a line when a kind of work begins, and another every minute."""

import io

import pytest
from rich.console import Console

from pixelproof.cli import screen


@pytest.fixture
def log(monkeypatch):
    written = io.StringIO()
    monkeypatch.setattr(screen, "err", Console(file=written))
    return written


def test_a_log_file_gets_a_line_per_work_and_minute(log, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(screen.time, "monotonic", lambda: now[0])
    with screen.progress(silent=False) as tell:
        for second, what, done in (
            (0, "train", 0),
            (10, "train", 1),
            (59, "train", 2),
            (60, "train", 3),
            (61, "test", 1),
        ):
            now[0] = 1000.0 + second
            tell(what, done, 4, "loss [0.5]" if what == "train" else "")
    lines = [line.split(" ", 1)[1] for line in log.getvalue().splitlines()]
    assert lines == ["train 0 % loss [0.5]", "train 75 % loss [0.5]", "test 25 %"]


def test_silent_progress_says_nothing(log):
    with screen.progress(silent=True) as tell:
        tell("train", 0, 4, "")
    assert log.getvalue() == ""
