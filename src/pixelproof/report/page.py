"""What a report is made of: sections of prose, tables, figures and image galleries; plain values, no markup."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import ClassVar, TypeAlias

from pixelproof import specs
from pixelproof.run import Run
from pixelproof.types import Rate
from pixelproof.views.answer import Estimate


@dataclass(frozen=True)
class Prose:
    """One paragraph; `alert` sets it in a box that cannot be overlooked."""

    text: str
    alert: bool = False

    kind: ClassVar[str] = "prose"


@dataclass(frozen=True)
class Heading:
    """The title of a part of a section."""

    text: str

    kind: ClassVar[str] = "heading"


@dataclass(frozen=True)
class Headline:
    """The few numbers to remember: value, interval and what it is."""

    entries: tuple[tuple[str, str, str], ...]

    kind: ClassVar[str] = "headline"


@dataclass(frozen=True)
class Cell:
    """One table cell. `shade` in [0, 1] colours it; a `head` names its row; `quiet` text repeats what stands above."""

    text: str
    shade: float | None = None
    head: bool = False
    quiet: bool = False

    @property
    def alpha(self) -> float:
        """How strongly the cell is coloured: weak enough for its text to stay readable."""
        return 0.0 if self.shade is None else round(0.6 * self.shade, 3)


Row: TypeAlias = tuple[Cell, ...]


@dataclass(frozen=True)
class Table:
    """A table with a caption; `bodies` are groups of rows that belong together. `words`: its cells are sentences."""

    name: str
    caption: str
    columns: tuple[str, ...]
    bodies: tuple[tuple[Row, ...], ...]
    note: str = ""
    compact: bool = False
    words: bool = False

    kind: ClassVar[str] = "table"


@dataclass(frozen=True)
class Figure:
    """A drawn figure: standalone SVG and PNG files, and its text alternative. `shown`: also inside the page."""

    name: str
    title: str
    caption: str
    alt: str
    svg: str = field(repr=False)
    png: bytes = field(repr=False)
    shown: bool = True

    kind: ClassVar[str] = "figure"


@dataclass(frozen=True)
class Picture:
    """A small image as PNG, with its text alternative."""

    png: bytes = field(repr=False)
    alt: str


@dataclass(frozen=True)
class Shot:
    """One example: clean image, adversarial image and perturbation, and what the classifier made of it.

    `word` says what became of it; by default whether it was misclassified.
    """

    pictures: tuple[Picture, ...]
    title: str
    verdict: str
    facts: str
    success: bool
    word: str | None = None


@dataclass(frozen=True)
class PictureGallery:
    """Examples on one perturbation scale, from -`scale` to +`scale`; without a scale they show no perturbation."""

    name: str
    title: str
    shots: tuple[Shot, ...]
    scale: str

    kind: ClassVar[str] = "gallery"


@dataclass(frozen=True)
class Text:
    """Text to be copied as it stands: commands, files."""

    text: str
    label: str

    kind: ClassVar[str] = "text"


@dataclass(frozen=True)
class TableGrid:
    """Small tables side by side."""

    blocks: tuple[Table, ...]

    kind: ClassVar[str] = "grid"


@dataclass(frozen=True)
class Fold:
    """Blocks that are hidden until asked for (and always printed)."""

    title: str
    blocks: tuple[Block, ...]

    kind: ClassVar[str] = "fold"


@dataclass(frozen=True)
class Terms:
    """Words and what they mean here."""

    entries: tuple[tuple[str, str], ...]

    kind: ClassVar[str] = "terms"


Block: TypeAlias = Heading | Headline | Prose | Table | Figure | PictureGallery | Text | TableGrid | Fold | Terms


@dataclass(frozen=True)
class ReportSection:
    """One part of the report: a title, an anchor and its blocks in reading order."""

    name: str
    title: str
    blocks: tuple[Block, ...]


def cells(*values: object, head: int = 0) -> Row:
    """A row of plain cells, of which the first `head` name it."""
    return tuple(Cell(str(value), head=position < head) for position, value in enumerate(values))


def percent(value: float | None, digits: int = 1) -> str:
    """A share as a percentage, an en dash where there is none."""
    return "–" if value is None else f"{100 * value:.{digits}f}\u00a0%"


def interval(rate: Rate | None) -> str:
    """A rate with its 95 % interval, such as "66.5 % [62.0, 70.7]"; an en dash where nothing was counted."""
    return "–" if rate is None or rate.value is None else f"{percent(rate.value)} {bounds(rate)}"


def bounds(rate: Rate) -> str:
    """The 95 % interval of a rate, in percent."""
    low, high = rate.interval
    return f"[{100 * low:.1f}, {100 * high:.1f}]"


def signed(difference: Estimate) -> str:
    """A difference with its sign and its 95 % interval, such as "+0.012 [-0.003, 0.027]"; zero has a plus."""
    value = round(difference.value, 3) + 0.0  # without the sign that a tiny negative number would leave on zero
    return f"{value:+.3f} [{difference.low:.3f}, {difference.high:.3f}]"


def count(n: int) -> str:
    """How many, kept together on one line."""
    return f"n\u00a0=\u00a0{n}"


def number(value: float | None, digits: int = 4) -> str:
    """A number with `digits` significant digits, an en dash where there is none."""
    return "–" if value is None else f"{value:.{digits}g}"


def budget(eps: float | None) -> str:
    """The size of a change as it was given, such as "0.1" or "2/255"; an en dash where there is none."""
    return "–" if eps is None else specs.budget(eps)


def decimals(value: float | None, digits: int = 3) -> str:
    """A number with `digits` places after the point, an en dash where there is none."""
    return "–" if value is None else f"{value:.{digits}f}"


def brief(specs: Iterable[str]) -> dict[str, str]:
    """Short labels of attacks, by spec and in order: name and eps, or the whole spec where two would be equal."""
    whole = list(dict.fromkeys(specs))
    short = {}
    for spec in whole:
        name, _, given = spec.partition(":")
        eps = next((item.partition("=")[2] for item in given.split(",") if item.startswith("eps=")), "")
        short[spec] = f"{name} {eps}".strip()
    labels = list(short.values())
    return {spec: label if labels.count(label) == 1 else spec for spec, label in short.items()}


def settings(run: Run) -> str:
    """How the run's curves were made: one word of context for every robustness number."""
    independent = run.spec["attacks"]["independent"]
    return "every budget from scratch" if independent else "successes carried up the budgets"
