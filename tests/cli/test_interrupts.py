"""Ctrl-C at any moment: no traceback, exit code 130."""

import signal
import subprocess
import sys

import pytest

IMPORTING = """
import sys, time
class Slow:
    def find_spec(self, name, path=None, target=None):
        if name == "typer":
            print("now", flush=True)
            time.sleep(60)
sys.meta_path.insert(0, Slow())
from pixelproof.__main__ import main
main()
"""

COMMAND = """
import sys, time
from pixelproof.cli import main
module = sys.modules["pixelproof.cli.main"]
def app(**_):
    {work}
def wait():
    print("now", flush=True)  # said where what waits is inside the block that the signal must meet
    time.sleep(60)
module.app = app
main()
"""
WORK = "wait()"
TIDYING = """try: wait()
    finally: wait()"""
SAYING = """module.err.print = lambda *_, **__: wait()
    wait()"""
IMPORTED = """try: wait()
    except BaseException: raise ImportError("half imported") from None"""

SCRIPTS = {
    "while the command line is imported": (IMPORTING, 1),
    "at work": (COMMAND.format(work=WORK), 1),
    "while a module is imported": (COMMAND.format(work=IMPORTED), 1),
    "twice, while it tidies up": (COMMAND.format(work=TIDYING), 2),
    "twice, while it says so": (COMMAND.format(work=SAYING), 2),
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_ctrl_c_is_quiet(name):
    script, times = SCRIPTS[name]
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        for _ in range(times):
            assert process.stdout.readline() == "now\n"
            process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 130
    assert "Traceback" not in said
    assert "unexpected" not in said
