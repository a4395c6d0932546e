"""Progress on standard error: bars with time left at a terminal, lines of text in a log file."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from pixelproof.cli.screen import err, shown

Tell = Callable[[str, int, int, str], None]
EVERY = 60.0  # seconds between two lines about the same work in a log file


@contextmanager
def progress(*, silent: bool, download: bool = False) -> Iterator[Tell]:
    """A function (what, done, total, note) that draws one bar per kind of work, with time left, on standard error.

    Where that is no terminal, as in a log file, a kind of work gets a line when it begins and another every minute.
    """
    if silent:
        yield lambda what, done, total, note: None
        return
    if not err.is_terminal:
        yield _logged()
        return
    columns = [TextColumn("{task.description}", markup=False), BarColumn(), TextColumn("{task.percentage:>3.0f} %")]
    tail = [DownloadColumn()] if download else [TextColumn("{task.fields[note]}", markup=False)]
    bars = Progress(*columns, TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(), *tail, console=err)
    tasks: dict[str, TaskID] = {}

    def tell(what: str, done: int, total: int, note: str) -> None:
        if what not in tasks:
            tasks[what] = bars.add_task(shown(what), total=total, note=shown(note))
        bars.update(tasks[what], completed=done, total=total, note=shown(note))

    with bars:
        yield tell


def _logged() -> Tell:
    """Progress as lines of text."""
    said: dict[str, float] = {}

    def tell(what: str, done: int, total: int, note: str) -> None:
        now = time.monotonic()
        if now - said.get(what, -EVERY) < EVERY:
            return
        said[what] = now
        share = f"{100 * done / total:.0f} %" if total else ""
        text = f"{time.strftime('%H:%M:%S')} {what} {share} {note}".rstrip()
        err.print(text, highlight=False, soft_wrap=True)

    return tell


@contextmanager
def line(*, silent: bool) -> Iterator[Callable[[str, bool], None]]:
    """A function (text, news) that keeps one line on standard error; a file gets a line of its own for each news."""
    if silent:
        yield lambda text, news: None
    elif err.is_terminal:
        with err.status("") as status:
            yield lambda text, news: status.update(Text(shown(text), no_wrap=True, overflow="ellipsis"))
    else:
        yield lambda text, news: err.print(text, highlight=False, soft_wrap=True) if news else None
