"""What the terminal shows: progress bars with time left, tables, or JSON."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

Tell = Callable[[str, int, int, str], None]
EVERY = 60.0  # seconds between two lines about the same work in a log file

out = Console()
err = Console(stderr=True)


def emit(value: Any) -> None:
    """Print a value as JSON on standard output."""
    print(json.dumps(value, indent=1, allow_nan=False))


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
    columns = [TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %")]
    tail = [DownloadColumn()] if download else [TextColumn("{task.fields[note]}")]
    bars = Progress(*columns, TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(), *tail, console=err)
    tasks: dict[str, TaskID] = {}

    def tell(what: str, done: int, total: int, note: str) -> None:
        if what not in tasks:
            tasks[what] = bars.add_task(what, total=total, note=note)
        bars.update(tasks[what], completed=done, total=total, note=note)

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
        err.print(text, markup=False, highlight=False, soft_wrap=True)

    return tell


@contextmanager
def line(*, silent: bool) -> Iterator[Callable[[str, bool], None]]:
    """A function (text, news) that keeps one line on standard error; a file gets a line of its own for each news."""
    if silent:
        yield lambda text, news: None
    elif err.is_terminal:
        with err.status("") as status:
            yield lambda text, news: status.update(Text(text, no_wrap=True, overflow="ellipsis"))
    else:
        yield lambda text, news: err.print(text, markup=False, highlight=False, soft_wrap=True) if news else None


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], *, words: bool = False) -> None:
    """Print a table; every column but the first is right-aligned, unless they hold words."""
    drawn = Table(title=title, title_justify="left")
    for position, column in enumerate(columns):
        drawn.add_column(column, justify="right" if position and not words else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*(str(cell) for cell in row))
    out.print(drawn)


def percent(rate: dict[str, Any]) -> str:
    """A rate of a view as "46.2 % [43.1, 49.3]"."""
    if rate["value"] is None:
        return "-"
    return f"{100 * rate['value']:.1f} % [{100 * rate['low']:.1f}, {100 * rate['high']:.1f}]"
