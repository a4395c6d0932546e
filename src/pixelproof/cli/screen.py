"""What the terminal shows: progress bars with time left, tables, or JSON.

Text is text: names of classes, files and studies come out as they are, not as markup, and control characters in them
are written out, so that no name can move the cursor or colour the screen.
"""

from __future__ import annotations

import json
import time
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console, ConsoleRenderable, RenderHook
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

if TYPE_CHECKING:
    from pixelproof.types import Rate  # with torch, which a command need not wait for

Tell = Callable[[str, int, int, str], None]
EVERY = 60.0  # seconds between two lines about the same work in a log file

DIRECTIONS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")  # they turn text round


def shown(text: object) -> str:
    """Text for the terminal: what is no letter but a command to it is written as its code, such as "\\x1b"."""
    return "".join(letter if _harmless(letter) else repr(letter)[1:-1] for letter in str(text))


def _harmless(letter: str) -> bool:
    return letter in "\n\t" or (unicodedata.category(letter) not in ("Cc", "Cs") and letter not in DIRECTIONS)


class Cleaning(RenderHook):
    """Cleans every text that a console is given."""

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        """The same, with texts cleaned; tables and bars clean their own."""
        for each in renderables:
            if isinstance(each, Text) and not all(map(_harmless, each.plain)):
                each.plain = shown(each.plain)
        return renderables


def _console(*, stderr: bool) -> Console:
    console = Console(stderr=stderr, markup=False, emoji=False)
    console.push_render_hook(Cleaning())
    return console


out = _console(stderr=False)
err = _console(stderr=True)


def emit(value: Any) -> None:
    """Print a value, or an answer of a view, as JSON on standard output."""
    from pydantic_core import to_jsonable_python

    print(json.dumps(to_jsonable_python(value, by_alias=True), indent=1, allow_nan=False))


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


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], *, words: bool = False) -> None:
    """Print a table; every column but the first is right-aligned, unless they hold words."""
    drawn = Table(title=Text(shown(title), style="table.title"), title_justify="left")
    for position, column in enumerate(columns):
        right = position and not words
        drawn.add_column(Text(shown(column)), justify="right" if right else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*(cell if isinstance(cell, Text) else Text(shown(cell)) for cell in row))
    out.print(drawn)


def loud(warnings: Sequence[str]) -> None:
    """Warnings on standard error that nobody should miss, also with --quiet."""
    for warning in warnings:
        err.print(f"WARNING: {warning}", style="bold red", highlight=False)


def percent(rate: Rate) -> str:
    """A rate as "46.2 % [43.1, 49.3]", a dash where nothing was counted."""
    if rate.value is None:
        return "-"
    return f"{100 * rate.value:.1f} % [{100 * rate.low:.1f}, {100 * rate.high:.1f}]"
