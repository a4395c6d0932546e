"""Inside the network: two-dimensional maps (paper 1, Fig. 2) and the penultimate layer (case study 3)."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from pixelproof import views
from pixelproof.report.draw import INK, MARKERS, PALETTE, Words, draw
from pixelproof.report.page import Block, Figure, Fold, Prose, ReportSection, Table, cells
from pixelproof.views import OpenRun
from pixelproof.views.answer import held
from pixelproof.views.penultimate import LayerDriftRow, LayerShift, StoredProjection

CLASSES = ("#4477aa", "#66ccee", "#228833", "#ccbb44", "#ee6677", "#aa3377", "#999933", "#882255", "#44aa99", "#777777")
NAMES = {"pca": "PCA", "umap": "UMAP"}


def penultimate(opened: OpenRun) -> ReportSection | None:
    """Where attacked images lie, which units they shift, and how they drift layer by layer."""
    found = held(lambda: views.penultimate(opened))
    if found is None:
        return None
    rows, classes, focus = found.rows, opened.clean.classes, opened.run.spec["signatures"]["focus"]
    figures = [_projection(entry, focus, classes) for entry in found.projections]
    said = (
        f"The paper's third case study asks what attacks do in the penultimate layer and gives no result. Here is one: "
        f"for each attack the images that it fooled, clean and attacked, in layer {rows[0].layer}. Sign noise of "
        "the same eps is the control; all images carry it. A shift that noise causes, too, is no trace of an attack."
    )
    blocks: tuple[Block, ...] = (*figures, Prose(said), _units(rows), _drift(found.drift), *_by_class(rows, classes))
    return ReportSection("inside", "Inside the network", blocks)


def _projection(entry: StoredProjection, focus: str, classes: Sequence[str]) -> Figure:
    others = [name for name in entry.attacked if name != focus]
    where = "images" if entry.space == "images" else f"layer {entry.space}"

    def paint(canvas: Canvas) -> None:
        panels = canvas.subplots(1, 3, sharex=True, sharey=True)
        for axes, title in zip(panels, ("clean", f"with {focus}", "with the other attacks"), strict=True):
            _clean(axes, entry, classes, faint=title != "clean")
            axes.set_title(title)
            axes.set_xticks([])
            axes.set_yticks([])
            axes.grid(visible=False)
        for axes, names in ((panels[1], [focus]), (panels[2], others)):
            for place, name in enumerate(names):
                points = entry.attacked[name]
                marker = MARKERS[place % len(MARKERS)]
                colour = INK if name == focus else PALETTE[place % len(PALETTE)]
                axes.scatter(
                    [x for x, _ in points], [y for _, y in points],
                    s=9, marker=marker, facecolors="none", edgecolors=colour, linewidths=0.7, label=name,
                )  # fmt: skip
            axes.legend(fontsize=8, ncols=3, loc="upper center", bbox_to_anchor=(0.5, 0), handletextpad=0.1)
        panels[0].legend(
            fontsize=7, ncols=5, loc="upper center", bbox_to_anchor=(0.5, 0), handletextpad=0.1, columnspacing=0.6
        )

    method = NAMES[entry.method]
    count = len(entry.labels)
    words = Words(
        f"{method} of {where}: clean, {focus}, other attacks (paper 1, Fig. 2a–c)",
        f"Fitted on the {count} clean images; attacked images are placed on the same map, only those that fooled the "
        "classifier. Colours are classes."
        + (" Distances between clusters mean little in UMAP." if method == "UMAP" else ""),
        f"Three scatter plots of {where} in two dimensions: clean images by class, then attacked images over them.",
    )
    return draw(f"projection-{entry.space.replace('.', '-')}", paint, words=words, size=(9.0, 3.7))


def _clean(axes: Axes, entry: StoredProjection, classes: Sequence[str], *, faint: bool) -> None:
    for k, name in enumerate(classes):
        points = [point for point, label in zip(entry.clean, entry.labels, strict=True) if label == k]
        axes.scatter(
            [x for x, _ in points], [y for _, y in points],
            s=7, color=CLASSES[k % len(CLASSES)], alpha=0.35 if faint else 0.9, linewidths=0,
            label=None if faint else name,
        )  # fmt: skip


def _units(rows: Sequence[LayerShift]) -> Table:
    body = tuple(
        cells(
            row.attack,
            row.n,
            ", ".join(f"{each.unit} ({each.d_z:+.1f})" for each in row.units[:5]),
            f"{100 * row.moved:.0f}\u00a0%",
            "–" if row.separability is None else f"{row.separability:.3f} (n = {row.separability_n})",
            head=1,
        )
        for row in rows
    )
    return Table(
        name="penultimate",
        caption=f"The penultimate layer, {rows[0].layer}: which units shift, and does a line tell attacks?",
        columns=("attack", "n", "most shifted units (d_z)", "units with |d_z| > 0.5", "AUROC of a line"),
        bodies=(body,),
        note="d_z: mean shift of a unit over its standard deviation between images. AUROC: logistic regression on all "
        "units, fitted on one half of the images and measured on the other, twins on the same side.",
    )


def _drift(rows: Sequence[LayerDriftRow]) -> Figure:
    layers = list(dict.fromkeys(row.layer for row in rows))
    attacks = list(dict.fromkeys(row.attack for row in rows))

    def paint(canvas: Canvas) -> None:
        left, right = canvas.subplots(1, 2)
        for axes, title in ((left, "|change| / |clean|"), (right, "1 − cosine")):
            for place, attack in enumerate(attacks):
                values = [row.norm if axes is left else row.cosine for row in rows if row.attack == attack]
                noise = attack == "sign-noise"
                axes.plot(
                    layers, values, "--" if noise else "-", marker=MARKERS[place % len(MARKERS)], ms=4.5,
                    color="#59626d" if noise else PALETTE[place % len(PALETTE)], label=attack,
                )  # fmt: skip
            axes.set_ylim(bottom=0)
            axes.set_title(title)
            axes.set_xlabel("layer")
        left.legend(fontsize=8)

    words = Words(
        "Drift from layer to layer",
        "Medians over images. Dashed grey: sign noise of the same eps, the control.",
        "Two panels: relative length and cosine distance of the change in every layer, one line per attack.",
    )
    return draw("drift", paint, words=words, size=(8.4, 3.2))


def _by_class(rows: Sequence[LayerShift], classes: Sequence[str]) -> list[Fold]:
    tables = tuple(
        Table(
            name=f"units-{place + 1}",
            caption=f"{row.attack}: mean shift of its most shifted units, by true class",
            columns=("class", *(f"unit {each.unit}" for each in row.units)),
            bodies=(
                tuple(
                    cells(name, *(f"{each.by_class[k]:+.2f}" for each in row.units), head=1)
                    for k, name in enumerate(classes)
                ),
            ),
            compact=True,
        )
        for place, row in enumerate(rows)
    )
    return [Fold("Shift by class and attack", tables)]
