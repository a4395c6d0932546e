"""Ctrl-C: the first one ends the work in order, the second one at once; neither shows a traceback."""

from __future__ import annotations

import os
import signal
import sys
import threading

CODE = 130
CURSOR = b"\x1b[?25h"  # progress bars hide it


class Interrupted(BaseException):
    """Ctrl-C; not a KeyboardInterrupt, which the command-line library would turn into a plain failure."""


def watch() -> None:
    """From now on the first Ctrl-C raises Interrupted, and a second one ends the process with code 130."""
    signal.signal(signal.SIGINT, _first)


def came() -> bool:
    """Whether Ctrl-C was pressed since `watch`: modules that are being imported may make another error of it."""
    return signal.getsignal(signal.SIGINT) is _second


def leave() -> None:
    """End the process now if visitors' attacks still compute: the interpreter would abort on its way out with them."""
    if any(thread.daemon and thread.name.startswith("live-") for thread in threading.enumerate()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(CODE)


def _first(_signal: int, _frame: object) -> None:
    signal.signal(signal.SIGINT, _second)
    raise Interrupted


def _second(_signal: int, _frame: object) -> None:
    if sys.stderr.isatty():
        os.write(2, CURSOR)
    os._exit(CODE)
