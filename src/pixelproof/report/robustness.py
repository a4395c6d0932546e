"""The robustness curve, and the table of every attack at every budget."""

from __future__ import annotations

from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from pixelproof import views
from pixelproof.report.draw import INK, MARKERS, MUTED, PALETTE, Words, draw, eps_axis, percent_axis
from pixelproof.report.page import (
    Cell,
    Figure,
    ReportSection,
    Row,
    Table,
    budget,
    cells,
    count,
    interval,
    number,
    percent,
    settings,
)
from pixelproof.types import Rate
from pixelproof.views import OpenRun
from pixelproof.views.answer import held
from pixelproof.views.robustness import Robustness, RobustnessRow

FIRST_BREAK = (
    "First break: median forward pass that first saw the image misclassified (– when the attack never looks, or where "
    "one search serves several budgets). "
)


def robustness(opened: OpenRun) -> ReportSection | None:
    """The robustness curve and the full table."""
    found, made = held(lambda: views.robustness(opened)), settings(opened.run)
    if found is None or not found.rows:
        return None
    norms = sorted({row.norm for row in found.rows if row.eps is not None})
    curves = [_curve(found, norm=norm, made=made) for norm in norms]
    return ReportSection("robustness", "How much the classifier withstands", (*curves, _table(found, made)))


def _table(found: Robustness, made: str) -> Table:
    rows = found.rows
    bodies: dict[str, list[Row]] = {}
    looked = any(row.median_first_break is not None for row in rows)
    for row in rows:
        group = bodies.setdefault(row.attack, [])
        shared = row.shared_cost and group
        group.append(
            (
                Cell(row.attack, head=True, quiet=bool(group)),
                Cell("none" if row.eps is None else f"{row.norm} {budget(row.eps)}", head=True),
                *cells(interval(row.robust_accuracy), interval(row.left_standing)),
                Cell(f"{row.misclassified} of {row.n}"),
                *cells(row.misclassified_8bit, *([number(row.median_first_break)] if looked else [])),
                *cells(number(row.median_distance["l2"], 3)),
                *(Cell(text, quiet=bool(shared)) for text in _cost(row)),
            )
        )
    for cell in found.unpaired:
        head = (Cell("pgd", head=True), Cell(f"{cell.norm} {budget(cell.eps)}", head=True))
        bodies.setdefault("pgd (not run)", []).append((*head, *cells(*["not run"] * (7 + looked))))
    swept = any(row.shared_cost for row in rows)
    return Table(
        name="robustness-table",
        caption=f"Every attack at every budget, {made}; seed {rows[0].seed}",
        columns=(
            "attack",
            "budget",
            "robust accuracy [95\u00a0%]",
            "left standing [95\u00a0%]",
            "misclassified",
            "still after 8 bits",
            *(["first break (pass)"] if looked else []),
            "l2 distance",
            "passes per image",
            "seconds",
        ),
        bodies=tuple(tuple(group) for group in bodies.values()),
        note=f"Robust accuracy: of all {rows[0].robust_accuracy.n} test images, those right and not broken. "
        f"Left standing: of the {rows[0].n} classified correctly before, as the papers count. "
        "“Still after 8 bits”: misclassified images that stay so when saved with 8 bits per value. "
        + (FIRST_BREAK if looked else "")
        + "L2 distance: median over the broken images. Passes: forward + backward."
        + (" Passes and seconds belong to an attack's whole curve, shared by its rows." if swept else "")
        + "".join(f" {sentence}" for sentence in _noted(rows)),
    )


def _noted(rows: tuple[RobustnessRow, ...]) -> list[str]:
    """What the attacks noted, a sentence for each note that says whose it is."""
    notes = dict.fromkeys(note for row in rows for note in row.notes)
    who = {note: dict.fromkeys(row.attack for row in rows if note in row.notes) for note in notes}
    return [f"Noted by {', '.join(who[note])}: {note}." for note in notes]


def _cost(row: RobustnessRow) -> tuple[str, str]:
    passes = f"{row.forwards_per_image:.1f} + {row.backwards_per_image:.1f}"
    return passes, f"{row.seconds:.2f}"


def _curve(found: Robustness, *, norm: str, made: str) -> Figure:
    own = [row for row in found.rows if row.norm == norm and row.eps is not None]
    together = [row for row in found.together if row.norm == norm]
    budgets = sorted({row.eps for row in own if row.eps is not None})
    n, right, reach = own[0].robust_accuracy.n, own[0].n, budgets[-1] or 1.0

    def paint(canvas: Canvas) -> None:
        axes = canvas.add_subplot()
        ends: list[End] = []
        attacks = list(dict.fromkeys(row.attack for row in own if not row.control))
        for label in dict.fromkeys(row.attack for row in own):
            line = [row for row in own if row.attack == label]
            control = line[0].control
            colour = MUTED if control else PALETTE[attacks.index(label) % len(PALETTE)]
            marker = "x" if control else MARKERS[attacks.index(label) % len(MARKERS)]
            _line(
                axes,
                [(0.0, found.clean_accuracy), *((row.eps or 0.0, row.robust_accuracy) for row in line)],
                colour=colour,
                marker=marker,
                dashed=control,
            )
            ends.append(End(100 * float(line[-1].robust_accuracy), label, colour, marker))
        if together:
            points = [(row.eps, row.together) for row in together]
            axes.plot([eps for eps, _ in points], [100 * float(rate) for _, rate in points], ":", color=INK, lw=1.4)
            for eps, rate in points[:-1]:
                axes.annotate(
                    f"{100 * float(rate):.0f}",
                    (eps, 100 * float(rate)),
                    (-3, -5),
                    textcoords="offset points",
                    ha="right",
                    va="top",
                    fontsize=8.5,
                )
            ends.append(End(100 * float(points[-1][1]), "all together", INK, ""))
        percent_axis(axes)
        eps_axis(axes, budgets, label=f"budget: {norm} eps, images in [0, 1]")
        axes.set_ylabel("robust accuracy")
        _name(axes, ends, last=reach)

    lowest = min(together, key=lambda row: row.eps, default=None)
    alt = f"Robust accuracy from 0 to 100 % against {norm} eps for {len({row.attack for row in own})} attacks"
    if lowest is not None:
        first, last = together[0], together[-1]
        alt += (
            f": all attacks together leave {percent(first.together.value)} at eps {budget(first.eps)} and "
            f"{percent(last.together.value)} at eps {budget(last.eps)}. The table below holds every value."
        )
    caption = (
        f"Share of all {n} test images that are classified correctly ({right} of them without an attack) and that the "
        f"attack did not break, {made}. Bands: 95 % intervals. Dotted, with its "
        "values in %: no attack broke the image. Dashed grey: noise of the same size, the control."
    )
    words = Words(f"Robust accuracy against budget ({norm}), {count(n)}", caption, alt)
    return draw(f"robustness-curve-{norm}", paint, words=words, size=(8.0, 4.3))


def _line(axes: Axes, points: list[tuple[float, Rate]], *, colour: str, marker: str, dashed: bool) -> None:
    """One attack's curve from the clean accuracy at eps 0, with its interval."""
    eps = [value for value, _ in points]
    values = [100 * float(rate) for _, rate in points]
    low, high = [100 * rate.low for _, rate in points], [100 * rate.high for _, rate in points]
    axes.fill_between(eps, low, high, color=colour, alpha=0.12, linewidth=0)
    axes.plot(eps, values, "--" if dashed else "-", color=colour, marker=marker, markersize=5, markevery=slice(1, None))


@dataclass(frozen=True, order=True)
class End:
    """Where a curve ends, and what it is called there."""

    value: float
    label: str
    colour: str
    marker: str


def _name(axes: Axes, ends: list[End], *, last: float) -> None:
    """Each curve's name and last value beside its end, pushed apart where curves meet."""
    ends = sorted(ends)
    for end, place in zip(ends, apart([end.value for end in ends], step=6.0, top=101.0), strict=True):
        line = ([last * 1.01, last * 1.04, last * 1.055], [end.value, place, place])
        axes.plot(*line, color=end.colour, lw=0.8, clip_on=False, marker=end.marker, ms=4.5, markevery=[2])
        axes.text(last * 1.07, place, f"{end.label} {end.value:.1f}", va="center")
    axes.set_xlim(0, last * 1.02)


def apart(values: list[float], *, step: float, top: float) -> list[float]:
    """Ascending `values`, moved so that neighbours are at least `step` apart and none is above `top`."""
    places: list[float] = []
    for value in values:
        places.append(max(value, places[-1] + step) if places else value)
    for position in reversed(range(len(places))):
        limit = top if position == len(places) - 1 else places[position + 1] - step
        places[position] = min(places[position], limit)
    return places
