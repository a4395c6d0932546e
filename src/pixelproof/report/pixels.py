"""Are critical pixels real, and do they suffice: both tests with their null run, curves, and sanity checks."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FuncFormatter

from pixelproof import views
from pixelproof.report.draw import MARKERS, PALETTE, Words, draw, percent_axis
from pixelproof.report.page import Block, Cell, Figure, Prose, Section, Table, cells, count, interval, number, percent
from pixelproof.run import Run

PAPER_T, PAPER_P = "11.5968", "1.34e-30"


def pixels(run: Run) -> Section | None:
    """Paper 1's case study 2, and what can be believed of it."""
    facts = views.critical(run)
    if facts is None:
        return None
    blocks: list[Block] = [
        Prose(facts["verdict"], alert=True),
        _bars(facts),
        _histogram(run, facts),
        _tests(facts),
        Prose(_reading(run, facts)),
        _curves(run),
        _areas(run, facts),
    ]
    checked = views.sanity(run)
    if checked is not None:
        blocks += [_sanity(checked)]
    return Section("critical", "Critical pixels: are they real, and do they suffice?", tuple(blocks))


def _reading(run: Run, facts: dict[str, Any]) -> str:
    plain = {row["ranking"]: row["repaired"] for row in views.curves(run) if row["k"] == facts["k"]}
    repaired = {sense["sense"]: percent(sense["repaired"]) for sense in facts["senses"]}
    return (
        f"A test says that pixels differ, not that they matter. So they were set back and used: with the {facts['k']} "
        f"first pixels of the detection ranking set back to clean, {repaired['detection']} of the {facts['n']} fooled "
        f"images are classified correctly again ({repaired['generation']} for the generation ranking). Rankings that "
        f"need no explanation stand beside: |perturbation| repairs {percent(plain['perturbation'])}, random pixels "
        f"{percent(plain['random'])}. Where they do as well, the explanation adds nothing; where random pixels repair "
        "many, the attack stopped just behind the decision boundary."
    )


def _bars(facts: dict[str, Any]) -> Figure:
    pooled = facts["pooled"]

    def paint(canvas: Canvas) -> None:
        axes = canvas.add_subplot()
        axes.barh([1, 0], pooled["means"], xerr=pooled["deviations"], color=PALETTE[:2], height=0.5, capsize=6)
        axes.set_yticks([1, 0], ["critical", "non-critical"])
        axes.set_xlabel("|change of SHAP value|, mean")

    words = Words(
        "Mean change of critical and other pixels (paper 1, Fig. 6a)",
        f"Pooled over all pixels of {facts['n']} images; error bars are standard deviations, as in the paper. The "
        "critical pixels were chosen on these same images for being large.",
        f"Two bars: critical {pooled['means'][0]:.3g}, non-critical {pooled['means'][1]:.3g}.",
    )
    return draw("critical-bars", paint, words=words, size=(8.0, 1.9))


def _histogram(run: Run, facts: dict[str, Any]) -> Figure:
    found = views.histograms(run)

    def paint(canvas: Canvas) -> None:
        both, zoom = canvas.subplots(1, 2)
        for axes, names in ((both, ("critical", "other")), (zoom, ("critical",))):
            for name in names:
                colour = PALETTE[0] if name == "critical" else PALETTE[2]
                axes.stairs(found[name], found["edges"], fill=True, alpha=0.6, color=colour, label=name)
            axes.set_xlabel("|change of SHAP value|")
            axes.legend()
        both.set_yscale("log")
        both.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f}"))
        both.set_ylabel("pixels")

    words = Words(
        "Histograms of the change (paper 1, Fig. 6b)",
        "Left: both groups, counts on a logarithmic axis; right: the critical pixels alone.",
        "Histograms of the absolute change of SHAP values for critical and other pixels.",
    )
    return draw("critical-histograms", paint, words=words, size=(8.0, 3.0))


def _tests(facts: dict[str, Any]) -> Table:
    pooled, held, null = facts["pooled"], facts["held_out"], facts["null"]
    rows = (
        cells(
            "pooled t-test", f"t = {PAPER_T}, p = {PAPER_P}", f"t = {pooled['t']:.4g}, p {_p(pooled['p'])}",
            f"{sum(pooled['observations'])} pixels", interval(null["pooled"]), head=1,
        ),
        cells(
            "held-out test", "–", f"d_z = {held['d_z']:.2f}, p {_p(held['p'])}",
            f"{held['n']} images", interval(null["held_out"]), head=1,
        ),
    )  # fmt: skip
    return Table(
        name="critical-tests",
        caption=f"The paper's test beside one that can be believed: {facts['attack']}, eps {facts['eps']:.3g}",
        columns=("test", "paper", "ours", "units", "false positives"),
        bodies=(rows,),
        note="Last column: how often the test calls p < 0.05 on clean against clean images, where there is nothing to "
        f"find; 5 % is right. Held-out: mean {held['mean']:.3g} [{held['low']:.3g}, {held['high']:.3g}]; "
        "pixels chosen on one half of the images, tested on the other; sign flips of "
        f"whole images. Over the whole map {facts['significant']} of {facts['pixels']} pixels move in one direction "
        "at a family-wise 5 % (max-T).",
    )


def _p(value: float) -> str:
    """A p-value; the smallest that can be told from 0 is named."""
    return f"= {value:.3g}" if value >= 1e-300 else "< 1e-300"


def _curves(run: Run) -> Figure:
    rows = views.curves(run)
    rankings = list(dict.fromkeys(row["ranking"] for row in rows))

    def paint(canvas: Canvas) -> None:
        left, right = canvas.subplots(1, 2)
        for axes, key, title in (
            (left, "repaired", "set back to clean: labels repaired"),
            (right, "sufficient", "only these attacked: still fooled"),
        ):
            for place, name in enumerate(rankings):
                line = [row for row in rows if row["ranking"] == name]
                axes.plot(
                    [row["k"] for row in line],
                    [100 * row[key] for row in line],
                    marker=MARKERS[place % len(MARKERS)],
                    color=PALETTE[place % len(PALETTE)],
                    ms=4,
                    label=name,
                )
            percent_axis(axes)
            axes.set_xlabel("first k pixels of the ranking")
            axes.set_title(title)
        right.legend(fontsize=8)

    words = Words(
        f"Repair and insertion curves, {count(rows[0]['n'])}",
        "Detection and generation are rankings of SHAP values, per image; “one map for all” ranks by the mean "
        "detection map; perturbation, variance and random need no explanation.",
        "Two panels of curves over k, one line per ranking; the table below holds the areas.",
    )
    return draw("critical-curves", paint, words=words, size=(8.4, 3.6))


def _areas(run: Run, facts: dict[str, Any]) -> Table:
    first = {row["ranking"]: row for row in views.curves(run)}
    own = [row for row in views.confined(run) if row["ranking"] not in first]
    body = [
        (
            Cell(name, head=True),
            *cells(_area(row["repair_area"]), _area(row["insertion_area"]), interval(row["confined"])),
        )
        for name, row in first.items()
    ]
    body += [(Cell(row["ranking"], head=True), *cells("–", "–", interval(row["fooled"]))) for row in own]
    return Table(
        name="critical-areas",
        caption=f"Areas under the curves and confined attacks, {count(facts['n'])}, seed {facts['seed']}",
        columns=(
            "ranking",
            "repair area [95\u00a0%]",
            "insertion area [95\u00a0%]",
            f"fooled, confined to k = {facts['k']}",
        ),
        bodies=(tuple(body),),
        note="Areas over k as a share of all pixels, up to the largest k; intervals are bootstrapped over images. "
        "Confined: BIM that may change only these pixels, up to the same eps.",
    )


def _area(found: dict[str, float]) -> str:
    return f"{found['value']:.3f} [{found['low']:.3f}, {found['high']:.3f}]"


def _sanity(checked: dict[str, Any]) -> Table:
    stable = cells(
        f"overlap of the first {checked['k']} pixels (Jaccard index)",
        f"{checked['stability']:.2f}, lowest {checked['lowest']:.2f}; chance {checked['chance']:.2f}",
        head=1,
    )
    shuffled = tuple(
        cells(f"rank correlation, {' + '.join(checked['layers'][: place + 1])} shuffled", number(value, 2), head=1)
        for place, value in enumerate(checked["correlation"])
    )
    return Table(
        name="signature-sanity",
        caption=f"Do signatures depend on the backgrounds and on the model? {count(checked['n'])}",
        columns=("check", "result"),
        bodies=((stable,), shuffled),
        note=f"Overlap: mean over all pairs of {checked['draws']} draws of {checked['background']} backgrounds. "
        "Model randomisation after Adebayo et al. (2018): layers from the last, cumulatively. A map that shows "
        "the model loses its correlation; what stays is owed to the image itself, as to pixels that are 0 both in "
        "the image and in the backgrounds, which carry nothing under any model.",
    )
