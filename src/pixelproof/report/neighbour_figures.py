"""Figs. 4 to 12 of paper 3, drawn from a run."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import MaxNLocator

from pixelproof.report.draw import MUTED, PALETTE, Words, draw, percent_axis
from pixelproof.report.page import Figure
from pixelproof.views.neighbours import NeighbourFindings


def _panels(canvas: Canvas, count: int) -> list[Any]:
    across = 2
    grid = canvas.subplots(-(-count // across), across, squeeze=False, sharey=True)
    for axes in grid.flat[count:]:
        axes.set_visible(False)
    return list(grid.flat[:count])


def _size(count: int) -> tuple[float, float]:
    return 8.0, 2.6 * -(-count // 2)


def thresholds(found: NeighbourFindings) -> Figure:
    """False positives, misses and accuracy over the threshold, at each layer's k."""
    rows = found.thresholds

    def paint(canvas: Canvas) -> None:
        panels = _panels(canvas, len(rows))
        for axes, row in zip(panels, rows, strict=True):
            at = range(row.k)
            curves = (("accuracy", row.accuracy), ("FPR", row.fpr), ("FNR", row.fnr))
            for place, (label, curve) in enumerate(curves):
                axes.plot(at, [100 * value for value in curve], color=PALETTE[place], label=label, marker=".")
            axes.axvline(row.threshold, color=PALETTE[1], lw=1, ls=":")
            axes.set_title(f"{row.layer}, k = {row.k}: EER {100 * row.eer:.1f} % at {row.threshold}")
            axes.set_xlabel("threshold")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            percent_axis(axes)
        canvas.legend(*panels[0].get_legend_handles_labels(), loc="outside upper right", ncols=3)

    said = ", ".join(f"{row.layer} {100 * row.eer:.1f} %" for row in rows)
    words = Words(
        "Where misses and false alarms meet (paper 3, Figs. 4 to 7)",
        f"Tuning half, {found.focus}. The dotted line is the threshold nearest to the equal error rate. A layer alarms "
        "when more than this many of its k neighbours belong to another class.",
        f"One panel per layer; equal error rates: {said}.",
    )
    return draw("neighbour-thresholds", paint, words=words, size=_size(len(rows)))


def accuracy_over_k(found: NeighbourFindings) -> Figure:
    """Accuracy of each layer over k, on both halves."""
    rows = found.accuracy_over_k
    theirs = {row.layer: row.paper for row in found.focus_rule}

    def paint(canvas: Canvas) -> None:
        panels = _panels(canvas, len(rows))
        for axes, row in zip(panels, rows, strict=True):
            at = range(1, len(row.tuning) + 1)
            axes.plot(at, [100 * value for value in row.tuning], color=MUTED, lw=1, label="tuning half")
            axes.plot(at, [100 * value for value in row.validation], color=PALETTE[0], label="judging half")
            axes.axvline(row.best, color=PALETTE[1], ls="--", lw=1, label="our k")
            paper = theirs[row.layer]
            if paper is not None:
                axes.axvline(paper, color=PALETTE[2], ls=":", lw=1.4, label="paper's k")
            axes.set_title(f"{row.layer}: k = {row.best}" + ("" if paper is None else f", paper {paper}"))
            axes.set_xlabel("k")
            percent_axis(axes)
            axes.set_ylim(40, 102)
        canvas.legend(*panels[0].get_legend_handles_labels(), loc="outside upper right", ncols=4)

    said = ", ".join(f"{row.layer} {row.best}" for row in rows)
    words = Words(
        "Accuracy over k (paper 3, Figs. 8 to 11)",
        "Every k has its own threshold at the equal error rate of the tuning half. Accuracy weighs clean and attacked "
        "images equally, as the paper's halves do.",
        f"One panel per layer; chosen k: {said}.",
    )
    return draw("neighbour-k", paint, words=words, size=_size(len(rows)))


def rocs(found: NeighbourFindings) -> Figure:
    """The ROC curve of each layer at its k."""
    rows = found.rocs

    def paint(canvas: Canvas) -> None:
        axes = canvas.add_subplot()
        for place, row in enumerate(rows):
            label = f"{row.layer}, k = {row.k}: {row.auroc:.3f}"
            axes.plot(
                [100 * x for x in row.fpr],
                [100 * y for y in row.tpr],
                color=PALETTE[place % 6],
                label=label,
                marker=".",
            )
        axes.plot([0, 100], [0, 100], color=MUTED, lw=0.6)
        percent_axis(axes)
        axes.set_xlabel("clean images alarmed, %")
        axes.set_ylabel("attacked images alarmed")
        axes.legend(fontsize=8, loc="lower right")

    said = ", ".join(f"{row.layer} {row.auroc:.3f}" for row in rows)
    words = Words(
        "ROC curves of the layers (paper 3, Fig. 12)",
        f"Judging half, {found.focus}. The figure after each layer is the area under its curve; points are thresholds.",
        f"Areas: {said}.",
    )
    return draw("neighbour-roc", paint, words=words, size=(8.0, 4.0))
