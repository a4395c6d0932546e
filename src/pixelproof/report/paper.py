"""A paper's figures beside ours."""

from __future__ import annotations

from matplotlib.figure import Figure as Canvas

from pixelproof import views
from pixelproof.report.draw import PALETTE, Words, draw, eps_axis, percent_axis
from pixelproof.report.page import Block, Cell, Figure, Prose, ReportSection, Row, Table, budget, number, percent
from pixelproof.views import OpenRun
from pixelproof.views.paper import PaperRow

SAID = (
    "The paper's figure, ours and the difference, as shares, because the numbers of images differ. The difference is "
    "ours minus the paper's, in percentage points. The interval says how far our share could move with another choice "
    "of test images; it covers neither another network nor another training run."
)


def paper(opened: OpenRun) -> ReportSection | None:
    """One table per source, and our curve over the paper's where it gives one."""
    found = views.paper(opened)
    if not found:
        return None
    rows = [row for row in found if not row.class_name]
    by_class = [row for row in found if row.class_name]
    sources = dict.fromkeys(row.source for row in rows)
    tables = [
        _table(source, [row for row in rows if row.source == source], position=position)
        for position, source in enumerate(sources)
    ]
    compared = [row for row in rows if row.eps is not None and row.difference is not None]
    figures = [_figure(compared)] if compared else []
    tables += [_class_table(by_class)] if by_class else []
    blocks: tuple[Block, ...] = (Prose(SAID), *figures, *tables)
    return ReportSection("paper", "Beside the paper", blocks)


def _table(source: str, rows: list[PaperRow], *, position: int) -> Table:
    bodies: dict[str, list[Row]] = {}
    for row in rows:
        what = f"{row.attack}: {row.measure}" if row.attack else row.measure
        group = bodies.setdefault(what, [])
        group.append(
            (
                Cell(what, head=True, quiet=bool(group)),
                Cell(budget(row.eps), head=True),
                Cell(_count(row.paper, row.paper_n)),
                Cell(percent(row.paper_share)),
                Cell("not run" if row.ours is None else f"{row.ours} of {row.n}"),
                Cell(_share(row)),
                Cell(points(row.difference)),
            )
        )
    return Table(
        name=f"paper-{position + 1}",
        caption=f"{source}: the paper's figure beside ours",
        columns=("what", "eps", "paper", "paper, share", "ours", "ours, share [95\u00a0%]", "difference"),
        bodies=tuple(tuple(group) for group in bodies.values()),
    )


def _class_table(rows: list[PaperRow]) -> Table:
    """Scores per class, summed up: means over the classes, and how far single classes are apart."""
    cells: dict[tuple[str, str], dict[float | None, list[PaperRow]]] = {}
    for row in rows:
        cells.setdefault((row.measure, row.attack), {}).setdefault(row.eps, []).append(row)
    bodies = []
    for (measure, attack), budgets in cells.items():
        group: list[Row] = []
        for eps, own in budgets.items():
            pairs = [(row.paper_share, row.share) for row in own if row.share is not None]
            head = (Cell(f"{attack}: {measure}", head=True, quiet=bool(group)), Cell(budget(eps), head=True))
            if not pairs:
                group.append((*head, Cell(""), Cell("not run"), Cell(""), Cell("")))
                continue
            theirs, ours = (sum(side) / len(pairs) for side in zip(*pairs, strict=True))
            apart = sum(abs(one - other) for one, other in pairs) / len(pairs)
            means = (Cell(f"{theirs:.3f}"), Cell(f"{ours:.3f}"), Cell(points(ours - theirs)))
            group.append((*head, *means, Cell(f"{100 * apart:.1f}")))
        bodies.append(tuple(group))
    sources = ", ".join(dict.fromkeys(row.source for row in rows))
    return Table(
        name="paper-classes",
        caption=f"{sources}: means over the classes; every class stands in tables/paper.csv",
        columns=("what", "eps", "paper, mean", "ours, mean", "difference, points", "mean absolute difference, points"),
        bodies=tuple(bodies),
    )


def _count(value: float, n: int | None) -> str:
    """A paper's figure as printed there: a count of n, or a share."""
    if n is None or value <= 1:
        return number(value) if n is None else f"{value:.4g} (n = {n})"
    return f"{value:.0f} of {n}"


def _share(row: PaperRow) -> str:
    if row.share is None or row.low is None or row.high is None:
        return percent(row.share)
    return f"{percent(row.share)} [{100 * row.low:.1f}, {100 * row.high:.1f}]"


def points(difference: float | None) -> str:
    """A difference of shares in percentage points, with its sign."""
    return "–" if difference is None else f"{100 * difference:+.1f}".replace("-", "−")


def _points(share: float | None) -> float:
    return 100 * (share or 0.0)


def _figure(rows: list[PaperRow]) -> Figure:
    panels = list(dict.fromkeys((row.source, row.measure, row.attack) for row in rows))
    across = min(4, len(panels))
    down = -(-len(panels) // across)

    def paint(canvas: Canvas) -> None:
        grid = canvas.subplots(down, across, squeeze=False, sharey=True)
        for axes in grid.flat[len(panels) :]:
            axes.set_visible(False)
        for axes, panel in zip(grid.flat, panels, strict=False):
            own = [row for row in rows if (row.source, row.measure, row.attack) == panel]
            eps = [row.eps or 0.0 for row in own]
            axes.fill_between(
                eps, [_points(r.low) for r in own], [_points(r.high) for r in own], color=PALETTE[0], alpha=0.15, lw=0
            )
            axes.plot(eps, [_points(r.share) for r in own], "o-", color=PALETTE[0], ms=4, label=f"ours, n = {own[0].n}")
            theirs = "paper" if own[0].paper_n is None else f"paper, n = {own[0].paper_n}"
            axes.plot(
                eps, [_points(r.paper_share) for r in own], "s--", color=PALETTE[1], ms=4, mfc="none", label=theirs
            )
            axes.set_title(f"{panel[2]}: {panel[1]}")
            eps_axis(axes, sorted(eps), label="eps", room=0.15)
            percent_axis(axes)
        canvas.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside upper left", ncols=2)

    widest = max(rows, key=lambda row: abs(row.difference or 0.0))
    what = f"{widest.attack} at eps {budget(widest.eps)}"
    words = Words(
        f"The paper's curves and ours, n = {rows[0].n}",
        "Solid: ours with its 95 % interval. Dashed: the paper's.",
        "One panel per attack with the paper's values and ours; the largest difference is "
        f"{points(widest.difference)} points for {what}. The tables below hold every value.",
    )
    size = (2.4 * across if across > 2 else 4.0 * across, 2.8 * down)
    return draw("paper-comparison", paint, words=words, size=size)
