"""From a matplotlib figure to SVG and PNG: one look, and the same bytes every time."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from pixelproof import specs
from pixelproof.report.page import Figure

INK, MUTED, GRID, SURFACE = "#14181d", "#59626d", "#dde1e6", "#fefefe"
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")  # Okabe and Ito (2008), without yellow
MARKERS = ("o", "s", "^", "D", "v", "P")
THEMED = MappingProxyType(
    {INK: "--ink", MUTED: "--muted", GRID: "--line", SURFACE: "--surface"}
    | {colour: f"--colour-{k}" for k, colour in enumerate(PALETTE)}
)

STYLE: Mapping[Any, object] = MappingProxyType(
    {
        "svg.fonttype": "none",
        "svg.hashsalt": "pixelproof",
        "text.parse_math": False,  # a class name may hold a dollar sign
        "font.family": "sans-serif",
        "font.sans-serif": ["DejaVu Sans"],
        "font.size": 9.5,
        "text.color": INK,
        "axes.edgecolor": MUTED,
        "axes.facecolor": SURFACE,
        "figure.facecolor": SURFACE,
        "axes.labelcolor": INK,
        "axes.titlesize": 10,
        "axes.titlelocation": "left",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.grid.axis": "y",
        "axes.axisbelow": True,
        "grid.color": GRID,
        "grid.linewidth": 0.8,
        "xtick.color": MUTED,
        "ytick.color": MUTED,
        "xtick.labelcolor": INK,
        "ytick.labelcolor": INK,
        "lines.linewidth": 1.8,
        "legend.frameon": False,
    }
)


@dataclass(frozen=True)
class Words:
    """What a figure is called, what must be known to read it, and what it shows to those who cannot see it."""

    title: str
    caption: str
    alt: str


def draw(
    name: str, paint: Callable[[Canvas], None], *, words: Words, size: tuple[float, float], shown: bool = True
) -> Figure:
    """A finished figure: `paint` fills an empty canvas of `size` inches."""
    with matplotlib.rc_context(dict(STYLE)), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")  # only the PNG lacks it
        canvas = Canvas(figsize=size, layout="constrained")
        paint(canvas)
        svg, png = io.StringIO(), io.BytesIO()
        canvas.savefig(svg, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
        canvas.savefig(png, format="png", dpi=160, metadata={"Software": None})
    return Figure(name, words.title, words.caption, words.alt, _file(svg.getvalue(), words.alt), png.getvalue(), shown)


def percent_axis(axes: Axes) -> None:
    """A y axis from 0 to 100 %."""
    axes.set_ylim(0, 104)
    axes.set_yticks(range(0, 101, 20), [f"{tick} %" for tick in range(0, 101, 20)])


def eps_axis(axes: Axes, budgets: list[float], *, label: str, room: float = 0.07) -> None:
    """An x axis from 0 with the budgets as ticks, labels left out that have less than `room` of its length."""
    last = 0.0
    labels = []
    for eps in budgets:
        fits = eps - last >= room * budgets[-1]
        labels.append(specs.budget(eps) if fits else "")
        last = eps if fits else last
    axes.set_xticks([0, *budgets], ["0", *labels])
    axes.set_xlabel(label)


def inline(figure: Figure) -> str:
    """The SVG for inside a page: its ids made unique, its neutral colours and font those of the page."""
    text = figure.svg[figure.svg.index("<svg") :]
    text = re.sub(r'\bid="([^"]+)"', rf'id="{figure.name}-\1"', text)
    text = re.sub(r'href="#([^"]+)"', rf'href="#{figure.name}-\1"', text)
    text = re.sub(r"url\(#([^)]+)\)", rf"url(#{figure.name}-\1)", text)
    for colour, variable in THEMED.items():
        text = text.replace(colour, f"var({variable})")
    return text.replace("font-family: 'DejaVu Sans', sans-serif", "font-family: var(--sans)")


def _file(svg: str, alt: str) -> str:
    """Matplotlib's SVG without document type, metadata and comments, named for screen readers."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"\s*<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"\s*<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r"\s*<defs>\s*<style.*?</style>\s*</defs>", "", svg, flags=re.DOTALL)
    label = alt.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
    start = '<svg role="img" stroke-linejoin="round"'
    return svg.replace("<svg", f'{start} aria-label="{label}"', 1)
