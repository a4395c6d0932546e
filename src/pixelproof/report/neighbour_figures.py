"""Figs. 4 to 12 of paper 3, drawn from a run."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import MaxNLocator

from pixelproof import views
from pixelproof.report.draw import MUTED, PALETTE, Words, draw, percent_axis
from pixelproof.report.page import Figure
from pixelproof.run import Run


def _panels(canvas: Canvas, count: int) -> list[Any]:
    across = 2
    grid = canvas.subplots(-(-count // across), across, squeeze=False, sharey=True)
    for axes in grid.flat[count:]:
        axes.set_visible(False)
    return list(grid.flat[:count])


def _size(count: int) -> tuple[float, float]:
    return 8.0, 2.6 * -(-count // 2)


def thresholds(run: Run, focus: str) -> Figure:
    """False positives, misses and accuracy over the threshold, at each layer's k."""
    rows = views.threshold_curves(run, focus)

    def paint(canvas: Canvas) -> None:
        panels = _panels(canvas, len(rows))
        for axes, row in zip(panels, rows, strict=True):
            at = range(row["k"])
            for place, (key, label) in enumerate((("accuracy", "accuracy"), ("fpr", "FPR"), ("fnr", "FNR"))):
                axes.plot(at, [100 * value for value in row[key]], color=PALETTE[place], label=label, marker=".")
            axes.axvline(row["threshold"], color=PALETTE[1], lw=1, ls=":")
            axes.set_title(f"{row['layer']}, k = {row['k']}: EER {100 * row['eer']:.1f} % at {row['threshold']}")
            axes.set_xlabel("threshold")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            percent_axis(axes)
        canvas.legend(*panels[0].get_legend_handles_labels(), loc="outside upper right", ncols=3)

    said = ", ".join(f"{row['layer']} {100 * row['eer']:.1f} %" for row in rows)
    words = Words(
        "Where misses and false alarms meet (paper 3, Figs. 4 to 7)",
        f"Tuning half, {focus}. The dotted line is the threshold nearest to the equal error rate. A layer alarms when "
        "more than this many of its k neighbours belong to another class.",
        f"One panel per layer; equal error rates: {said}.",
    )
    return draw("neighbour-thresholds", paint, words=words, size=_size(len(rows)))


def accuracy_over_k(run: Run, focus: str) -> Figure:
    """Accuracy of each layer over k, on both halves."""
    rows = views.k_curves(run, focus)
    theirs = {row["layer"]: row["paper"] for row in views.alarm_rule(run) if row["focus"]}

    def paint(canvas: Canvas) -> None:
        panels = _panels(canvas, len(rows))
        for axes, row in zip(panels, rows, strict=True):
            at = range(1, len(row["tuning"]) + 1)
            axes.plot(at, [100 * value for value in row["tuning"]], color=MUTED, lw=1, label="tuning half")
            axes.plot(at, [100 * value for value in row["validation"]], color=PALETTE[0], label="judging half")
            axes.axvline(row["k"], color=PALETTE[1], ls="--", lw=1, label="our k")
            paper = theirs[row["layer"]]
            if paper is not None:
                axes.axvline(paper, color=PALETTE[2], ls=":", lw=1.4, label="paper's k")
            axes.set_title(f"{row['layer']}: k = {row['k']}" + ("" if paper is None else f", paper {paper}"))
            axes.set_xlabel("k")
            percent_axis(axes)
            axes.set_ylim(40, 102)
        canvas.legend(*panels[0].get_legend_handles_labels(), loc="outside upper right", ncols=4)

    said = ", ".join(f"{row['layer']} {row['k']}" for row in rows)
    words = Words(
        "Accuracy over k (paper 3, Figs. 8 to 11)",
        "Every k has its own threshold at the equal error rate of the tuning half. Accuracy weighs clean and attacked "
        "images equally, as the paper's halves do.",
        f"One panel per layer; chosen k: {said}.",
    )
    return draw("neighbour-k", paint, words=words, size=_size(len(rows)))


def rocs(run: Run, focus: str) -> Figure:
    """The ROC curve of each layer at its k."""
    rows = views.layer_rocs(run, focus)

    def paint(canvas: Canvas) -> None:
        axes = canvas.add_subplot()
        for place, row in enumerate(rows):
            fpr, tpr = row["points"]
            label = f"{row['layer']}, k = {row['k']}: {row['auroc']:.3f}"
            axes.plot([100 * x for x in fpr], [100 * y for y in tpr], color=PALETTE[place % 6], label=label, marker=".")
        axes.plot([0, 100], [0, 100], color=MUTED, lw=0.6)
        percent_axis(axes)
        axes.set_xlabel("clean images alarmed, %")
        axes.set_ylabel("attacked images alarmed")
        axes.legend(fontsize=8, loc="lower right")

    said = ", ".join(f"{row['layer']} {row['auroc']:.3f}" for row in rows)
    words = Words(
        "ROC curves of the layers (paper 3, Fig. 12)",
        f"Judging half, {focus}. The figure after each layer is the area under its curve; points are thresholds.",
        f"Areas: {said}.",
    )
    return draw("neighbour-roc", paint, words=words, size=(8.0, 4.0))
