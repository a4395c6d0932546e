"""Progress in a log file: a line when a kind of work begins, and another every minute."""

import io
import signal

import pytest
from rich.console import Console

from pixelproof.cli import main, progress, screen


@pytest.fixture
def log(monkeypatch):
    written = io.StringIO()
    console = Console(file=written, markup=False)
    console.push_render_hook(screen.Cleaning())
    monkeypatch.setattr(progress, "err", console)
    return written


def test_a_log_file_gets_a_line_per_work_and_minute(log, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with progress.progress(silent=False) as tell:
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
    with progress.progress(silent=True) as tell:
        tell("train", 0, 4, "")
    assert log.getvalue() == ""


@pytest.fixture
def screens(monkeypatch):
    """Standard output and standard error as a terminal without colours would show them."""
    written = {}
    for name, console in (("out", screen.out), ("err", screen.err)):
        written[name] = io.StringIO()
        monkeypatch.setattr(console, "_file", written[name])
    return written


NAMES = {
    "[/255]": "[/255]",
    "[bold]PGD[/bold] :smile:": "[bold]PGD[/bold] :smile:",
    "a\x1b[31mred": "a\\x1b[31mred",
    "a\x9bb\x7f": "a\\x9bb\\x7f",
    "\u202etxt.exe": "\\u202etxt.exe",
    "b\udcff": "b\\udcff",
    "naïve 猫": "naïve 猫",
}


@pytest.mark.parametrize("name", NAMES)
def test_a_name_comes_out_as_it_is(screens, name):
    screen.table(name, ["class", name], [[name, name]])
    screen.out.print(name, soft_wrap=True)
    screen.err.print(f"error: {name}", style="red", soft_wrap=True)
    assert screens["out"].getvalue().count(NAMES[name]) == 5
    assert screens["err"].getvalue() == f"error: {NAMES[name]}\n"


def test_a_name_in_a_progress_line_comes_out_as_it_is(log):
    with progress.progress(silent=False) as tell:
        tell("train [/x] \x1b", 0, 4, "[b] \x7f")
    assert log.getvalue().split(" ", 1)[1] == "train [/x] \\x1b 0 % [b] \\x7f\n"


def test_an_error_is_one_line_whatever_the_names_hold(screens, monkeypatch):
    monkeypatch.setattr("sys.argv", ["pixelproof", "report", "no\nrun\x1b[2J [/red] " + "x" * 300])
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(SystemExit) as ended:
        main()
    signal.signal(signal.SIGINT, before)
    assert ended.value.code == 1
    assert screens["err"].getvalue().startswith("error: no run\\x1b[2J [/red] xxx")
    assert screens["err"].getvalue().count("\n") == 1
