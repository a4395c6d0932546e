"""Are critical pixels real, and do they suffice: both tests with their null run, curves, and sanity checks."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FuncFormatter

from pixelproof import views
from pixelproof.explain import HeldOutTest
from pixelproof.report.draw import MARKERS, PALETTE, Words, draw, percent_axis
from pixelproof.report.page import (
    Block,
    Cell,
    Figure,
    Prose,
    ReportSection,
    Row,
    Table,
    budget,
    cells,
    count,
    interval,
    number,
    percent,
)
from pixelproof.report.printed import Printed, printed
from pixelproof.views import OpenRun
from pixelproof.views.answer import held
from pixelproof.views.critical import CriticalCurvePoint, CriticalFindings, SignatureSanity

TEST = "pooled t-test"


def critical(opened: OpenRun) -> ReportSection | None:
    """Paper 1's case study 2, and what can be believed of it."""
    facts = held(lambda: views.critical(opened))
    if facts is None:
        return None
    blocks: list[Block] = [
        Prose(facts.verdict, alert=True),
        _bars(facts),
        _histogram(facts),
        _tests(facts, printed(opened).get(TEST)),
        Prose(_reading(facts)),
        *_curves(facts),
        _areas(facts),
    ]
    if facts.sanity is not None:
        blocks.append(_sanity(facts.sanity))
    return ReportSection("critical", "Critical pixels: are they real, and do they suffice?", tuple(blocks))


def _reading(facts: CriticalFindings) -> str:
    at_k = [row for row in facts.curves if row.k == facts.k]
    plain = {row.ranking: row.repaired for row in at_k if row.attack == at_k[0].attack}
    stopped = {row.ranking: row.repaired for row in at_k if row.attack == facts.attack}
    repaired = {sense.sense: percent(sense.repaired) for sense in facts.senses}
    early = (
        f" Of images of {facts.attack}, which stops just behind the decision boundary, random pixels repair "
        f"{percent(stopped['random'])}; the curves of {facts.deep}, which goes on as foolbox does, are the ones to "
        "compare with other libraries."
        if facts.deep and facts.deep != facts.attack
        else ""
    )
    return (
        f"A test says that pixels differ, not that they matter. So they were set back and used: with the {facts.k} "
        f"first pixels of the detection ranking set back to clean, {repaired['detection']} of the {facts.curves_n} "
        f"images fooled by {at_k[0].attack} are classified correctly again ({repaired['generation']} for the "
        "generation ranking). Rankings that "
        f"need no explanation stand beside: |perturbation| repairs {percent(plain['perturbation'])}, random pixels "
        f"{percent(plain['random'])}. Where they do as well, the explanation adds nothing.{early}"
    )


def _bars(facts: CriticalFindings) -> Figure:
    pooled = facts.pooled

    def paint(canvas: Canvas) -> None:
        axes = canvas.add_subplot()
        axes.barh([1, 0], list(pooled.means), xerr=list(pooled.deviations), color=PALETTE[:2], height=0.5, capsize=6)
        axes.set_yticks([1, 0], ["critical", "non-critical"])
        axes.set_xlabel("|change of SHAP value|, mean")

    words = Words(
        "Mean change of critical and other pixels (paper 1, Fig. 6a)",
        f"Pooled over all pixels of {facts.n} images; error bars are standard deviations, as in the paper. The "
        "critical pixels were chosen on these same images for being large.",
        f"Two bars: critical {pooled.means[0]:.3g}, non-critical {pooled.means[1]:.3g}.",
    )
    return draw("critical-bars", paint, words=words, size=(8.0, 1.9))


def _histogram(facts: CriticalFindings) -> Figure:
    found = facts.histogram
    counts = {"critical": found.critical, "other": found.other}

    def paint(canvas: Canvas) -> None:
        both, zoom = canvas.subplots(1, 2)
        for axes, names in ((both, ("critical", "other")), (zoom, ("critical",))):
            for name in names:
                colour = PALETTE[0] if name == "critical" else PALETTE[2]
                axes.stairs(counts[name], found.edges, fill=True, alpha=0.6, color=colour, label=name)
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


def _tests(facts: CriticalFindings, paper: Printed | None) -> Table:
    pooled, sound, null = facts.pooled, facts.held_out, facts.null
    rows = (
        cells(
            "pooled t-test", "–" if paper is None else paper.text, f"t = {pooled.t:.4g}, p {_p(pooled.p)}",
            f"{sum(pooled.observations)} pixels", interval(null.pooled), head=1,
        ),
        cells(
            "held-out test", "–", _held_out(sound),
            f"{sound.n} images", interval(null.held_out), head=1,
        ),
        cells(
            "the same, maps of the true class", "–", _held_out(facts.attacked), f"{facts.attacked.n} images",
            interval(null.held_out), head=1,
        ),
        cells(
            "the same, noise of equal size", "–", _held_out(facts.noisy), f"{facts.noisy.n} images",
            interval(facts.noise_runs.held_out), head=1,
        ),
    )  # fmt: skip
    whose = "The paper's" if paper else "The pooled"
    return Table(
        name="critical-tests",
        caption=f"{whose} test beside one that can be believed: {facts.attack}, eps {budget(facts.eps)}",
        columns=("test", *(["paper"] if paper else []), "ours", "units", "calls p < 0.05"),
        bodies=(rows if paper else tuple((row[0], *row[2:]) for row in rows),),
        note="Last column: how often the test calls p < 0.05 on clean against clean images, where there is nothing to "
        f"find; 5 % is right. Held-out: mean {sound.mean:.3g} [{sound.interval[0]:.3g}, {sound.interval[1]:.3g}]; "
        "pixels chosen on one half of the images, tested on the other; sign flips of "
        "whole images. The maps of predicted classes change because the class does; maps of the true class, before and "
        "after, leave that out. Noise: the same images with the perturbation shuffled, of equal l2 size after "
        "clipping; the last column then says how often random halves of the images are called significant, which any "
        f"perturbation of that size would give. Over the whole map {facts.significant} of {facts.pixels} pixels "
        "move in one direction "
        "at a family-wise 5 % (max-T).",
    )


def _held_out(found: HeldOutTest) -> str:
    return f"d_z = {found.d_z:.2f}, p {_p(found.p)}"


def _p(value: float) -> str:
    """A p-value; the smallest that can be told from 0 is named."""
    return f"= {value:.3g}" if value >= 1e-300 else "< 1e-300"


def _curves(facts: CriticalFindings) -> list[Figure]:
    """One figure per attack: the one without early stop first."""
    every = list(dict.fromkeys(row.attack for row in facts.curves))
    return [
        _one(
            [row for row in facts.curves if row.attack == attack],
            name="critical-curves" if not place else "critical-curves-stopped",
        )
        for place, attack in enumerate(every)
    ]


def _one(rows: Sequence[CriticalCurvePoint], *, name: str) -> Figure:
    rankings = list(dict.fromkeys(row.ranking for row in rows))

    def paint(canvas: Canvas) -> None:
        left, right = canvas.subplots(1, 2)
        for axes, share, title in (
            (left, _repaired, "set back to clean: labels repaired"),
            (right, _sufficient, "only these attacked: still fooled"),
        ):
            for place, ranking in enumerate(rankings):
                line = [row for row in rows if row.ranking == ranking]
                axes.plot(
                    [row.k for row in line],
                    [100 * share(row) for row in line],
                    marker=MARKERS[place % len(MARKERS)],
                    color=PALETTE[place % len(PALETTE)],
                    ms=4,
                    label=ranking,
                )
            percent_axis(axes)
            axes.set_xlabel("first k pixels of the ranking")
            axes.set_title(title)
        right.legend(fontsize=8)

    words = Words(
        f"Repair and insertion curves: {rows[0].attack}, {count(rows[0].n)}",
        "Detection and generation are rankings of SHAP values, per image; “one map for all” ranks by the mean "
        "detection map; perturbation, variance and random need no explanation.",
        "Two panels of curves over k, one line per ranking; the table below holds the areas.",
    )
    return draw(name, paint, words=words, size=(8.4, 3.6))


def _repaired(row: CriticalCurvePoint) -> float:
    return row.repaired


def _sufficient(row: CriticalCurvePoint) -> float:
    return row.sufficient


def _areas(facts: CriticalFindings) -> Table:
    bodies: list[tuple[Row, ...]] = []
    first = {(row.attack, row.ranking): row for row in facts.curves}
    for attack in dict.fromkeys(row.attack for row in first.values()):
        bodies.append(
            tuple(
                (
                    Cell(f"{attack}: {ranking}", head=True),
                    *cells(row.repair_area, row.insertion_area),
                    *cells(interval(row.confined) if attack == facts.attack else "–"),
                )
                for (of, ranking), row in first.items()
                if of == attack
            )
        )
    known = {ranking for _, ranking in first}
    own = [row for row in facts.confined if row.ranking not in known]
    bodies.append(tuple((Cell(row.ranking, head=True), *cells("–", "–", interval(row.fooled))) for row in own))
    return Table(
        name="critical-areas",
        caption=f"Areas under the curves, {count(facts.curves_n)}, and confined attacks, {count(facts.n)}; seed "
        f"{facts.seed}",
        columns=(
            "ranking",
            "repair area [95\u00a0%]",
            "insertion area [95\u00a0%]",
            f"fooled, confined to k = {facts.k}",
        ),
        bodies=tuple(bodies),
        note="Areas over k as a share of all pixels, up to the largest k; intervals are bootstrapped over images. "
        "Confined: BIM that may change only these pixels, up to the same eps.",
    )


def _sanity(checked: SignatureSanity) -> Table:
    stable = [
        cells(
            f"first {checked.k} pixels, {checked.draws} draws of {checked.background} backgrounds", "–", "–",
            f"{checked.stability:.2f}, lowest {checked.lowest:.2f}", head=1,
        )
    ]  # fmt: skip
    if checked.over_models is not None:
        said = f"first {checked.k} pixels, {checked.models} networks of other seeds (n = {checked.models_n})"
        stable.append(cells(said, "–", "–", f"{checked.over_models:.2f}", head=1))
    shuffled = tuple(
        cells(
            f"{' + '.join(row.layers)} shuffled",
            *(number(value, 2) for value in (row.correlation, row.with_mass, row.overlap)),
            head=1,
        )
        for row in checked.shuffled
    )
    return Table(
        name="signature-sanity",
        caption=f"Do signatures depend on the backgrounds and on the model? {count(checked.n)}",
        columns=("check", "rank correlation, all pixels", "pixels with mass", "overlap of the first k (Jaccard)"),
        bodies=(tuple(stable), shuffled),
        note=f"Chance shares {checked.chance:.2f} of the first {checked.k} pixels. Draws and networks: mean over "
        "all pairs; networks explain the true class of images that all of them get right. Shuffled: model "
        "randomisation after Adebayo et al. (2018), layers from the last, cumulatively, compared with the intact "
        "model. A map that shows the model loses its correlation and its overlap. Over all pixels the correlation "
        "stays high for any model, for pixels that are 0 in the image and in the backgrounds carry nothing; so it is "
        "also taken over the pixels where either map carries more than 0.1 % of its largest value.",
    )
