"""Figures about defences: attacks against masks, the trade-off, features kept, and scores over epochs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from matplotlib.figure import Figure as Canvas

from pixelproof.report.classes import matrix
from pixelproof.report.draw import MARKERS, MUTED, PALETTE, Words, draw, percent_axis
from pixelproof.report.page import Figure, budget, percent
from pixelproof.views.hardened import HardenedRow
from pixelproof.views.training import EpochScores

BARS = (
    ("paper", "paper, FGSM"),
    ("on:naive fgsm", "mask on, naive FGSM"),
    ("on:pgd + eot", "mask on, PGD + EOT"),
    ("auto", "mask off, auto"),
)
SCORES: Mapping[str, Callable[[EpochScores], float]] = MappingProxyType(
    {"precision": lambda found: found.precision, "recall": lambda found: found.recall, "F1": lambda found: found.f1}
)


def against(rows: Sequence[HardenedRow]) -> Figure:
    """The paper's claim beside what a naive and a sound attack leave of the same weights."""
    shown = [row for row in rows if row.paper.robust is not None]

    def value(row: HardenedRow, key: str) -> float:
        if key == "paper":
            return row.paper.robust or 0.0
        return row.accuracy(key, "fgsm" if key == "on:naive fgsm" else "pgd")

    def paint(canvas: Canvas) -> None:
        axes = canvas.add_subplot()
        for k, (key, label) in enumerate(BARS):
            at = [place + 0.2 * (k - 1.5) for place in range(len(shown))]
            colour = MUTED if key == "paper" else PALETTE[k - 1]
            drawn = axes.bar(at, [100 * value(row, key) for row in shown], 0.19, color=colour, label=label)
            axes.bar_label(drawn, fmt="%.0f", fontsize=7.5)
        percent_axis(axes)
        axes.set_xticks(range(len(shown)), [row.row for row in shown])
        axes.set_ylabel("robust accuracy")
        axes.legend(fontsize=8, loc="upper center", ncols=4, bbox_to_anchor=(0.5, 1.16))

    facts = "; ".join(f"{row.row}: {', '.join(percent(value(row, key), 0) for key, _ in BARS)}" for row in shown)
    words = Words(
        f"Masks, as claimed and as attacked: {rows[0].net}, eps {budget(rows[0].eps)}",
        "The baseline has no mask, so there “mask on” is the plain network under FGSM and PGD. If masking resisted, "
        "the orange bar would be as high as the blue one: only the attack differs between them.",
        f"Accuracy claimed, under naive FGSM, under PGD in expectation, under auto. {facts}.",
    )
    return draw(f"defence-masks-{rows[0].net}", paint, words=words, size=(8.4, 3.6))


def tradeoff(rows: Sequence[HardenedRow], front: list[str]) -> Figure:
    """Clean against robust accuracy; the size of a point is its training cost."""

    def paint(canvas: Canvas) -> None:
        axes = canvas.add_subplot()
        chosen = sorted((row for row in rows if row.row in front), key=lambda row: row.clean.value)
        axes.plot(
            [100 * row.clean.value for row in chosen],
            [100 * row.robust for row in chosen],
            color=MUTED, lw=1, ls="--", zorder=1,
        )  # fmt: skip
        for k, row in enumerate(rows):
            axes.scatter(
                100 * row.clean.value, 100 * row.robust, s=30 * max(0.3, row.cost),
                color=PALETTE[k % len(PALETTE)], marker=MARKERS[(k // len(PALETTE)) % len(MARKERS)],
                label=f"{row.row} ({row.cost:.1f} x){', not shown robust' if _doubted(row) else ''}", zorder=2,
                facecolors="none" if _doubted(row) else None, clip_on=False,
            )  # fmt: skip
        percent_axis(axes)
        axes.set_xlabel("clean accuracy, %")
        axes.set_ylabel("robust accuracy, under auto")
        axes.grid(visible=True, axis="x")
        legend = axes.legend(fontsize=7.5, loc="center left", bbox_to_anchor=(1.0, 0.5))
        for handle in legend.legend_handles:
            handle.set_sizes([30])  # type: ignore[union-attr]  # a point as large as its cost would cover its name

    words = Words(
        f"What robustness costs: {rows[0].net}, auto at eps {budget(rows[0].eps)}",
        "In brackets, and as the size of the point: CPU seconds of training, relative to the baseline. The dashed line "
        "joins the rows that no other beats in both accuracies: " + ", ".join(front) + ". Hollow: not shown robust.",
        "Clean and robust accuracy of every row; the table above holds the numbers. On the front: "
        + ", ".join(front)
        + ".",
    )
    return draw(f"defence-tradeoff-{rows[0].net}", paint, words=words, size=(8.4, 4.0))


def features(rows: Sequence[HardenedRow]) -> Figure:
    """Accuracy against the number of features that a learned mask keeps."""
    shown = sorted(
        (row for row in rows if row is rows[0] or any(spec.startswith("learned-mask") for spec in row.defences)),
        key=lambda row: row.features,
    )

    def paint(canvas: Canvas) -> None:
        axes = canvas.add_subplot()
        kept = [row.features for row in shown]
        for k, (label, values) in enumerate(
            {
                "clean": [row.clean.value for row in shown],
                "under auto": [row.robust for row in shown],
            }.items()
        ):
            axes.plot(kept, [100 * value for value in values], f"{MARKERS[k]}-", color=PALETTE[k], label=label)
        percent_axis(axes)
        axes.set_xlabel("features kept by the mask")
        axes.set_ylabel("accuracy")
        axes.legend(loc="lower right")

    facts = "; ".join(f"{row.features} features: {percent(row.clean.value)}" for row in shown)
    words = Words(
        f"How many features are needed: a mask learned with L + λ·Σ|M|, {rows[0].net}",
        "The rightmost point is the baseline with all features. The paper's penalty has an effect only on a mask that "
        "is learned; on sampled masks it is a constant.",
        f"Clean accuracy by features kept. {facts}.",
    )
    return draw(f"defence-features-{rows[0].net}", paint, words=words, size=(8.4, 3.0))


def _doubted(row: HardenedRow) -> bool:
    return row.shown is False


def _wrong(row: HardenedRow) -> int:
    return row.correct.n - row.correct.hits


def confusions(rows: Sequence[HardenedRow]) -> Figure:
    """A confusion matrix for each row, mask off at test."""
    columns = min(4, len(rows))
    lines = -(-len(rows) // columns)

    def paint(canvas: Canvas) -> None:
        panels = canvas.subplots(lines, columns, squeeze=False).flatten()
        for panel in panels[len(rows) :]:
            panel.set_visible(False)
        for panel, row in zip(panels, rows, strict=False):
            names = [str(k) for k in range(len(row.confusion))]
            matrix(panel, [list(line) for line in row.confusion], names, size=4.6)
            panel.set_title(f"{row.row}: {_wrong(row)} wrong", fontsize=7.5)
            panel.tick_params(labelsize=6)

    n = rows[0].correct.n
    lost = "; ".join(f"{row.row}: {_wrong(row)}" for row in rows)
    words = Words(
        f"Confusion matrix of each row (the paper's Fig. 5): {rows[0].net}, first seed",
        f"Rows are true classes, columns predicted ones; {n} clean test images, mask off. Colour: share of the true "
        "class.",
        f"Images off the diagonal. {lost}.",
    )
    return draw(f"defence-confusion-{rows[0].net}", paint, words=words, size=(2.6 * columns, 2.7 * lines))


def _validation(row: HardenedRow) -> list[EpochScores]:
    return [epoch.validation for epoch in row.history.epochs if epoch.validation is not None]


def curves(rows: Sequence[HardenedRow]) -> list[Figure]:
    """Training loss, training and validation accuracy of the paper's rows; precision, recall and F1 over epochs."""
    shown = [row for row in rows if row.paper.robust is not None]

    def learning(canvas: Canvas) -> None:
        panels = canvas.subplots(1, 3)
        for k, row in enumerate(shown):
            epochs, colour = row.history.epochs, PALETTE[k % len(PALETTE)]
            lines = (
                [epoch.training.loss for epoch in epochs],
                [100 * epoch.training.accuracy for epoch in epochs],
                [100 * found.accuracy for found in _validation(row)],
            )
            for panel, values in zip(panels, lines, strict=True):
                panel.plot(range(1, len(values) + 1), values, "o-", ms=3, color=colour, label=row.row)
        for panel, title in zip(
            panels, ("training loss", "training accuracy, %", "validation accuracy, %"), strict=True
        ):
            panel.set(title=title, xlabel="epoch")
            panel.xaxis.get_major_locator().set_params(integer=True)
        panels[0].legend(fontsize=7.5)

    def scores(canvas: Canvas) -> None:
        panels = canvas.subplots(1, 3, sharey=True)
        for (name, score), panel in zip(SCORES.items(), panels, strict=True):
            for k, row in enumerate(shown):
                values = [100 * score(found) for found in _validation(row)]
                colour = PALETTE[k % len(PALETTE)]
                panel.plot(range(1, len(values) + 1), values, "o-", ms=3, color=colour, label=row.row)
            panel.set(title=f"{name}, %", xlabel="epoch")
            panel.xaxis.get_major_locator().set_params(integer=True)
        panels[0].legend(fontsize=7.5)

    last = "; ".join(f"{row.row}: {percent(_validation(row)[-1].accuracy)}" for row in shown)
    return [
        draw(
            f"defence-curves-{rows[0].net}",
            learning,
            words=Words(
                f"Training of the paper's rows (its Fig. 1): {rows[0].net}, first seed",
                "Training figures are running means on masked images; validation is without a mask.",
                f"Loss and accuracy per epoch. Validation accuracy after the last epoch: {last}.",
            ),
            size=(8.6, 3.0),
        ),
        draw(
            f"defence-scores-{rows[0].net}",
            scores,
            words=Words(
                f"Precision, recall and F1 over epochs (the paper's Fig. 4): {rows[0].net}, first seed",
                "Unweighted means over the classes, on validation images without a mask.",
                "Precision, recall and F1 on validation images per epoch for each of the paper's rows.",
            ),
            size=(8.6, 2.8),
        ),
    ]
