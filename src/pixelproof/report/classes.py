"""What happens to each class: scores for every attack and budget, and confusion matrices."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_rgba
from matplotlib.figure import Figure as Canvas

from pixelproof import views
from pixelproof.report.draw import INK, PALETTE, SURFACE, Words, draw
from pixelproof.report.page import (
    Block,
    Cell,
    Figure,
    Fold,
    Prose,
    ReportSection,
    Row,
    Table,
    TableGrid,
    budget,
)
from pixelproof.views import OpenRun
from pixelproof.views.answer import held
from pixelproof.views.classes import ClassScores, ConfusionMatrix

MOST_CLASSES = 20  # beyond, tables and matrices are too wide to read and stay in the CSV files


def classes(opened: OpenRun) -> ReportSection | None:
    """Precision, recall and F1 per class (paper 1, Table IV)."""
    rows, found = views.classes(opened), held(lambda: views.robustness(opened))
    if not rows:
        return None
    names = list(dict.fromkeys(row.class_name for row in rows))
    if len(names) > MOST_CLASSES:
        text = f"{len(names)} classes are too many for a page: the scores are in tables/classes.csv."
        return ReportSection("classes", "Scores per class", (Prose(text),))
    said = (
        "Scores on the attacked images, which were all classified correctly before; so recall is the share of a class "
        "left standing, and precision falls where other classes are mistaken for this one. A ratio without cases is 0."
    )
    pgd = found is None or not found.unpaired
    titles = {"f1": "F1", "precision": "Precision", "recall": "Recall"}
    tables = [_scores(rows, measure=measure, title=title, pgd=pgd) for measure, title in titles.items()]
    return ReportSection(
        "classes", "Scores per class", (Prose(said), tables[0], Fold("Precision and recall", tuple(tables[1:])))
    )


def _scores(rows: Sequence[ClassScores], *, measure: str, title: str, pgd: bool) -> Table:
    """One score of every class; `pgd`: whether PGD ran wherever FGSM did."""
    found = {(row.attack, row.eps, row.class_name): row for row in rows}
    names = list(dict.fromkeys(row.class_name for row in rows))
    n = {name: next(row.n for row in rows if row.class_name == name) for name in names}
    bodies = []
    for attack in dict.fromkeys(row.attack for row in rows):
        group: list[Row] = []
        for eps in dict.fromkeys(row.eps for row in rows if row.attack == attack):
            values = [getattr(found[attack, eps, name], measure) for name in names]
            met = [value for value in values if value is not None]
            mean = sum(met) / len(met) if met else None
            group.append(
                (
                    Cell(attack, head=True, quiet=bool(group)),
                    Cell(budget(eps), head=True),
                    *(_score(value) for value in (*values, mean)),
                )
            )
        bodies.append(tuple(group))
    if not pgd:
        bodies.append(((Cell("pgd", head=True), Cell("not run", head=True), *[Cell("–")] * (len(names) + 1)),))
    return Table(
        name=f"classes-{measure}",
        caption=f"{title} per class for every attack and budget, n = {sum(n.values())}",
        columns=("attack", "eps", *names, "mean"),
        bodies=tuple(bodies),
        note="Stronger colour: lower. The mean is unweighted (macro). Images per class: "
        + ", ".join(f"{name}:\u00a0{count}" for name, count in n.items()),
        compact=True,
    )


def _score(value: float | None) -> Cell:
    return Cell("–") if value is None else Cell(f"{value:.2f}", shade=1 - value)


def confusions(opened: OpenRun) -> ReportSection | None:
    """Confusion matrices: two to look at, all of them folded away."""
    matrices, found = views.confusion(opened), held(lambda: views.robustness(opened))
    focus = None if found is None else found.focus
    names = list(opened.clean.classes)
    if len(names) > MOST_CLASSES:
        return None
    chosen = [each for each in matrices if focus and (each.attack, each.eps) == (focus.attack, focus.eps)]
    said = (
        "Rows are true classes, columns predicted ones. The clean matrix counts all test images; the matrices under "
        "attack count the attacked images, those classified correctly before."
    )
    if focus:
        said += (
            f" Shown large: {focus.attack} at eps {budget(focus.eps)}, chosen by rule: the attack that broke "
            "most images over all budgets, at the budget that leaves closest to half standing."
        )
    order = sorted(matrices, key=lambda each: each.eps or 0)
    folded = Fold(
        "Every confusion matrix", (TableGrid(tuple(_matrix(each, names, position=k) for k, each in enumerate(order))),)
    )
    blocks: list[Block] = [Prose(said), _pair([matrices[0], *chosen], names), folded]
    return ReportSection("confusion", "What is taken for what", tuple(blocks))


def _name(matrix: ConfusionMatrix) -> str:
    what = "clean" if matrix.attack == "clean" else f"{matrix.attack}, eps {budget(matrix.eps)}"
    return f"{what}, n = {matrix.n}"


def _matrix(matrix: ConfusionMatrix, names: list[str], *, position: int) -> Table:
    rows = []
    for name, counts in zip(names, matrix.counts, strict=True):
        total = max(1, sum(counts))
        shaded = (Cell(str(count) if count else "·", shade=(count / total) ** 0.7) for count in counts)
        rows.append((Cell(name, head=True), *shaded))
    return Table(f"matrix-{position}", _name(matrix), ("true", *names), (tuple(rows),), compact=True)


def _pair(matrices: list[ConfusionMatrix], names: list[str]) -> Figure:
    def paint(canvas: Canvas) -> None:
        panels = canvas.subplots(1, len(matrices), squeeze=False)[0]
        for axes, each in zip(panels, matrices, strict=True):
            matrix(axes, each.counts, names)
            axes.set(xlabel="predicted", ylabel="true", title=_name(each))

    lost = [each.n - sum(row[k] for k, row in enumerate(each.counts)) for each in matrices]
    told = "; ".join(f"{_name(each)}: {count} off the diagonal" for each, count in zip(matrices, lost, strict=True))
    words = Words(
        "Confusion matrices",
        "Numbers: images. Colour: share of the true class.",
        f"{told}. All counts are in the tables below.",
    )
    return draw("confusion", paint, words=words, size=(4.2 * len(matrices), 4.2))


def matrix(axes: Axes, counts: Sequence[Sequence[int]], names: list[str], *, size: float = 7.5) -> None:
    """A confusion matrix with its counts in letters of `size` points; true classes downwards, predicted ones across."""
    faint = LinearSegmentedColormap.from_list("faint", [to_rgba(PALETTE[0], 0), to_rgba(PALETTE[0], 0.6)])
    shares = [[(count / max(1, sum(row))) ** 0.7 for count in row] for row in counts]
    axes.pcolormesh(shares, cmap=faint, vmin=0, vmax=1, edgecolors=SURFACE, linewidth=1)
    for i, row in enumerate(counts):
        for j, count in enumerate(row):
            if count:
                axes.text(j + 0.5, i + 0.5, str(count), ha="center", va="center", fontsize=size, color=INK)
    centres = [k + 0.5 for k in range(len(names))]
    axes.set_xticks(centres, names, rotation=0 if max(map(len, names)) < 4 else 60)
    axes.set_yticks(centres, names)
    axes.invert_yaxis()
    axes.set_aspect("equal")
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
