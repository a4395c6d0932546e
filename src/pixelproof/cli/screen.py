"""What the terminal shows: text, tables, warnings, or JSON.

Text is text: names of classes, files and studies come out as they are, not as markup, and control characters in them
are written out, so that no name can move the cursor or colour the screen.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console, ConsoleRenderable, RenderHook
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from pixelproof.types import Rate  # with torch, which a command need not wait for

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


def percent(rate: Rate | None) -> str:
    """A rate as "46.2 % [43.1, 49.3]"; a dash where there is none or nothing was counted."""
    if rate is None or rate.value is None:
        return "-"
    return f"{100 * rate.value:.1f} % [{100 * rate.low:.1f}, {100 * rate.high:.1f}]"
