"""The first pages of a report: what came out in short, the robustness table and the robustness curve."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from pixelproof import views
from pixelproof.report.draw import INK, MARKERS, MUTED, PALETTE, draw, eps_axis, percent_axis
from pixelproof.report.page import Block, Cell, Figure, Prose, Row, Section, Table, cells, interval, number, percent
from pixelproof.report.page import settings as how
from pixelproof.run import Run

BOUNDS = (
    "These are upper bounds under the attacks run here: another attack, or more steps, can only find more broken "
    "images. The intervals are 95 % Wilson intervals for the choice of test images, not for the choice of attack."
)


def summary(run: Run) -> Section:
    """What was done and what came out, in one paragraph and one small table."""
    facts, worst = views.overview(run), views.worst_case(run)
    clean = facts["clean_accuracy"]
    blocks: list[Block] = [Prose(" ".join(_lead(facts, worst, run))), *_alerts(run)]
    if worst:
        blocks += [Prose(BOUNDS), _overview_table(run, worst)]
    return Section("summary", f"In short: {percent(clean['value'])} right on clean images", tuple(blocks))


def _lead(facts: dict[str, Any], worst: list[dict[str, Any]], run: Run) -> list[str]:
    clean = facts["clean_accuracy"]
    said = [
        f"The network {facts['net']} ({facts['parameters']:,} parameters) classifies {clean['hits']} of {clean['n']} "
        f"test images of {facts['data']} correctly: {interval(clean)}.",
        f"Only these {clean['hits']} were attacked ({how(run)}), and robust accuracy is the share of them that held.",
    ]
    ends = [min(worst, key=lambda row: abs(row["together"]["value"] - 0.5)), worst[-1]] if worst else []
    for row in ends if len(ends) < 2 or ends[0] is not ends[1] else ends[:1]:
        said.append(
            f"At {row['norm']} eps = {row['eps']:.3g} the strongest single attack, {row['strongest']}, leaves "
            f"{interval(row['robust_accuracy'])}; all attacks together leave {percent(row['together']['value'])}"
            f"{_control(run, row)}."
        )
    return said


def _control(run: Run, row: dict[str, Any]) -> str:
    same = [other for other in views.robustness(run) if other["control"] and other["eps"] == row["eps"]]
    same = [other for other in same if other["norm"] == row["norm"]]
    if not same:
        return ""
    return f", while {same[0]['attack']} of the same size leaves {percent(same[0]['robust_accuracy']['value'])}"


def _alerts(run: Run) -> list[Prose]:
    """The warning that belongs to an FGSM number without PGD beside it."""
    alone = views.unpaired(run)
    if not alone:
        return []
    where = ", ".join(f"{cell['norm']} {number(cell['eps'])}" for cell in alone)
    text = (
        f"FGSM ran without PGD at {where}. A single step says little about robustness, so the PGD rows below read "
        "“not run”. Add pgd at the same budgets to the study before drawing any conclusion."
    )
    return [Prose(text, alert=True)]


def _overview_table(run: Run, worst: list[dict[str, Any]]) -> Table:
    """Attacks in rows, budgets in columns, robust accuracy in the cells."""
    found = {(row["attack"], row["norm"], row["eps"]): row["robust_accuracy"]["value"] for row in views.robustness(run)}
    budgets = list(dict.fromkeys((row["norm"], row["eps"]) for row in worst))
    attacks = [label for label in views.attack_names(run) if any(key[0] == label for key in found)]
    rows = [_shares(label, [found.get((label, *budget)) for budget in budgets]) for label in attacks]
    if views.unpaired(run) and not any(views.family(label) == "pgd" for label in attacks):
        rows.append((Cell("pgd", head=True), *[Cell("not run")] * len(budgets)))
    together = {(row["norm"], row["eps"]): row["together"]["value"] for row in worst}
    total = _shares("all attacks together", [together[budget] for budget in budgets])
    norms = {norm for norm, _ in budgets}
    heads = [f"{eps:.3g}" if len(norms) == 1 else f"{norm} {eps:.3g}" for norm, eps in budgets]
    return Table(
        name="overview",
        caption=f"Robust accuracy in % by attack and budget ({', '.join(sorted(norms))} eps), n = {worst[0]['n']}",
        columns=("attack", *heads),
        bodies=(tuple(rows), (total,)),
        note="Darker: more images broken. In the last row an image counts as held only when no attack broke it; "
        "noise of the same size is a control, not an attack.",
        compact=True,
    )


def _shares(label: str, values: list[float | None]) -> Row:
    shown = (Cell("–" if v is None else f"{100 * v:.1f}", shade=None if v is None else 1 - v) for v in values)
    return (Cell(label, head=True), *shown)


def robustness(run: Run) -> Section | None:
    """The robustness curve and the full table."""
    rows = views.robustness(run)
    if not rows:
        return None
    norms = sorted({row["norm"] for row in rows if row["eps"]})
    curves = [_curve(rows, views.worst_case(run), norm, how(run)) for norm in norms]
    return Section("robustness", "How much the classifier withstands", (*curves, _table(run, rows)))


def _table(run: Run, rows: list[dict[str, Any]]) -> Table:
    bodies: dict[str, list[Row]] = {}
    for row in rows:
        group = bodies.setdefault(row["attack"], [])
        shared = row["shared_cost"] and group
        group.append(
            (
                Cell(row["attack"], head=True, quiet=bool(group)),
                Cell("none" if row["eps"] is None else f"{row['norm']} {row['eps']:.3g}", head=True),
                *cells(interval(row["robust_accuracy"]), f"{row['misclassified']} of {row['n']}"),
                *cells(row["misclassified_8bit"], number(row["median_first_break"])),
                *cells(number(row["median_distance"]["l2"], 3)),
                *(Cell(text, quiet=bool(shared)) for text in _cost(row)),
            )
        )
    for cell in views.unpaired(run):
        head = (Cell("pgd", head=True), Cell(f"{cell['norm']} {number(cell['eps'])}", head=True))
        bodies.setdefault("pgd (not run)", []).append((*head, *cells(*["not run"] * 7)))
    swept = any(row["shared_cost"] for row in rows)
    return Table(
        name="robustness-table",
        caption=f"Every attack at every budget, {how(run)}; seed {rows[0]['seed']}",
        columns=(
            "attack",
            "budget",
            "robust accuracy [95 %]",
            "misclassified",
            "still after 8 bits",
            "first break (pass)",
            "l2 distance",
            "passes per image",
            "seconds",
        ),
        bodies=tuple(tuple(group) for group in bodies.values()),
        note="“Still after 8 bits”: misclassified images that stay so when saved with 8 bits per value. First break: "
        "median forward pass that first saw the image misclassified (– when the attack never looks). L2 distance: "
        "median over the broken images. Passes: forward + backward."
        + (" First break, passes and seconds belong to an attack's whole curve, shared by its rows." if swept else ""),
    )


def _cost(row: dict[str, Any]) -> tuple[str, str]:
    passes = f"{row['forwards_per_image']:.1f} + {row['backwards_per_image']:.1f}"
    return passes, f"{row['seconds']:.2f}"


def _curve(rows: list[dict[str, Any]], worst: list[dict[str, Any]], norm: str, made: str) -> Figure:
    own = [row for row in rows if row["norm"] == norm and row["eps"] is not None]
    together = [row for row in worst if row["norm"] == norm]
    budgets = sorted({row["eps"] for row in own})
    n = own[0]["n"]

    def paint(canvas: Canvas) -> None:
        axes = canvas.add_subplot()
        ends: list[tuple[float, str, str]] = []
        attacks = list(dict.fromkeys(row["attack"] for row in own if not row["control"]))
        for label in dict.fromkeys(row["attack"] for row in own):
            line = [row for row in own if row["attack"] == label]
            control = line[0]["control"]
            colour = MUTED if control else PALETTE[attacks.index(label) % len(PALETTE)]
            marker = "x" if control else MARKERS[attacks.index(label) % len(MARKERS)]
            _line(axes, [(row["eps"], row["robust_accuracy"]) for row in line], colour, marker, dashed=control)
            ends.append((100 * line[-1]["robust_accuracy"]["value"], label, colour))
        if together:
            points = [(row["eps"], row["together"]) for row in together]
            axes.plot([eps for eps, _ in points], [100 * rate["value"] for _, rate in points], ":", color=INK, lw=1.4)
            for eps, rate in points:
                axes.annotate(
                    f"{100 * rate['value']:.0f}",
                    (eps, 100 * rate["value"]),
                    (-3, -5),
                    textcoords="offset points",
                    ha="right",
                    va="top",
                    fontsize=8.5,
                )
            ends.append((100 * points[-1][1]["value"], "all together", INK))
        percent_axis(axes)
        eps_axis(axes, budgets, f"budget: {norm} eps, images in [0, 1]")
        axes.set_ylabel("robust accuracy")
        _name(axes, ends, budgets[-1])

    lowest = min(together, key=lambda row: row["eps"], default=None)
    alt = f"Robust accuracy from 0 to 100 % against {norm} eps for {len({row['attack'] for row in own})} attacks"
    if lowest is not None:
        first, last = together[0], together[-1]
        alt += (
            f": all attacks together leave {percent(first['together']['value'])} at eps {first['eps']:.3g} and "
            f"{percent(last['together']['value'])} at eps {last['eps']:.3g}. The table below holds every value."
        )
    caption = (
        f"Share of the {n} correctly classified images that held, {made}. Bands: 95 % intervals. Dotted, with its "
        "values in %: no attack broke the image. Dashed grey: noise of the same size, the control."
    )
    words = (f"Robust accuracy against budget ({norm}), n = {n}", caption, alt)
    return draw(f"robustness-curve-{norm}", words, (8, 4.3), paint)


def _line(axes: Axes, points: list[tuple[float, dict[str, float]]], colour: str, marker: str, *, dashed: bool) -> None:
    """One attack's curve from 100 % at eps 0 (where the images were right by selection), with its interval."""
    eps = [0.0, *(value for value, _ in points)]
    values = [100.0, *(100 * rate["value"] for _, rate in points)]
    low = [100.0, *(100 * rate["low"] for _, rate in points)]
    high = [100.0, *(100 * rate["high"] for _, rate in points)]
    axes.fill_between(eps, low, high, color=colour, alpha=0.12, linewidth=0)
    axes.plot(eps, values, "--" if dashed else "-", color=colour, marker=marker, markersize=5, markevery=slice(1, None))


def _name(axes: Axes, ends: list[tuple[float, str, str]], last: float) -> None:
    """Each curve's name at its end, pushed apart where curves meet."""
    ends = sorted(ends)
    for (value, label, colour), place in zip(ends, apart([value for value, _, _ in ends], 6.0, 101.0), strict=True):
        axes.annotate(
            label,
            (last, value),
            (last * 1.05, place),
            color=colour,
            va="center",
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": colour, "lw": 0.6, "shrinkA": 0, "shrinkB": 4},
        )
    axes.set_xlim(0, last * 1.03)


def apart(values: list[float], step: float, top: float) -> list[float]:
    """Ascending `values`, moved so that neighbours are at least `step` apart and none is above `top`."""
    places: list[float] = []
    for value in values:
        places.append(max(value, places[-1] + step) if places else value)
    for position in reversed(range(len(places))):
        limit = top if position == len(places) - 1 else places[position + 1] - step
        places[position] = min(places[position], limit)
    return places
