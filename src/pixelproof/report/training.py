"""How the classifier was trained, how large and how fast it is, and how it does on clean images."""

from __future__ import annotations

from matplotlib.figure import Figure as Canvas

from pixelproof import views
from pixelproof.report.draw import PALETTE, Words, draw, percent_axis
from pixelproof.report.page import (
    Block,
    Cell,
    Figure,
    Fold,
    ReportSection,
    Table,
    cells,
    decimals,
    interval,
    number,
    percent,
)
from pixelproof.views import OpenRun
from pixelproof.views.answer import held
from pixelproof.views.overview import Facts, Overview
from pixelproof.views.training import Epoch, EpochScores, TrainingHistory

COLUMNS = tuple(EpochScores.model_fields)


def training(opened: OpenRun) -> ReportSection:
    """The network, its training curves, and the class distribution of what it gets right."""
    facts, history = views.overview(opened), held(lambda: views.training(opened))
    blocks: list[Block] = [_facts(facts, history), _distribution(facts)]
    if len(facts.per_class) <= 40:
        blocks.append(_bars(facts))
    if history is not None:
        blocks += [_curves(history), Fold("Every epoch in numbers", (_epochs(history),))]
    return ReportSection("classifier", "The classifier before any attack", tuple(blocks))


def _facts(facts: Overview, history: TrainingHistory | None) -> Table:
    macro = facts.macro
    rows = [
        ("network", facts.net),
        ("parameters", f"{facts.parameters:,}"),
        ("model size", f"{facts.size_bytes / 2**20:.2f} MiB of weights"),
        ("weights", f"digest {facts.digest}"),
        ("clean accuracy", f"{interval(facts.clean_accuracy)}, n = {facts.clean_accuracy.n}"),
        ("macro precision, recall, F1", ", ".join(map(percent, (macro.precision, macro.recall, macro.f1)))),
        ("inference time", f"{1e6 * facts.seconds_per_image:.3g} µs per image, in batches"),
    ]
    if history is not None:
        epochs, seconds = len(history.epochs), sum(epoch.seconds for epoch in history.epochs)
        rows.append(("training time", f"{seconds:.1f} s for {epochs} epochs, {seconds / epochs:.2f} s each"))
        rows.append(("weights kept", f"those of epoch {history.kept.epoch}, the best on validation images"))
    else:
        rows.append(("training", "none in this study: the weights were given"))
    return Table(
        "model", f"The network and what it costs, on {_device(facts.facts)}", ("what", "value"), (_heads(rows),)
    )


def _heads(rows: list[tuple[str, str]]) -> tuple[tuple[Cell, ...], ...]:
    return tuple(cells(*row, head=1) for row in rows)


def _device(facts: Facts) -> str:
    return f"{facts.device} with {facts.threads} thread{'' if facts.threads == 1 else 's'}"


def _distribution(facts: Overview) -> Table:
    total = facts.clean_accuracy.hits
    rows = tuple(
        (
            Cell(row.class_name, head=True),
            *cells(row.n, row.correct, percent(row.correct / total if total else None)),
            *(Cell(decimals(value)) for value in (row.precision, row.recall, row.f1)),
        )
        for row in facts.per_class
    )
    return Table(
        name="class-distribution-table",
        caption=f"Clean test images per class; the {total} classified correctly are the ones attacked",
        columns=("class", "images", "correct", "share of correct", "precision", "recall", "F1"),
        bodies=(rows,),
    )


def _bars(facts: Overview) -> Figure:
    rows, clean = facts.per_class, facts.clean_accuracy

    def paint(canvas: Canvas) -> None:
        axes = canvas.add_subplot()
        names, counts = [row.class_name for row in rows], [row.correct for row in rows]
        drawn = axes.bar(range(len(rows)), counts, color=PALETTE[0], width=0.7)
        axes.bar_label(drawn, fontsize=8.5)
        axes.set_xticks(range(len(rows)), names, rotation=0 if max(map(len, names)) < 8 else 45)
        axes.set_xlabel("class")
        axes.set_ylabel("correctly classified images")

    counts = ", ".join(f"{row.class_name}: {row.correct}" for row in rows)
    words = Words(
        f"Class distribution of the correctly classified images, n = {clean.hits}",
        "The images that were attacked; their unevenness carries over into every number about attacks.",
        f"Bars with the number of correctly classified images per class. {counts}.",
    )
    return draw("class-distribution", paint, words=words, size=(8.0, 2.6))


def _curves(history: TrainingHistory) -> Figure:
    epochs = [epoch.epoch for epoch in history.epochs]
    training = [epoch.training for epoch in history.epochs]
    validation = [epoch.validation for epoch in history.epochs if epoch.validation is not None]

    def paint(canvas: Canvas) -> None:
        panels = canvas.subplots(1, 2)
        panels[0].plot(epochs, [row.loss for row in training], "o-", color=PALETTE[0], ms=3, label="training")
        if validation:
            panels[0].plot(epochs, [row.loss for row in validation], "s-", color=PALETTE[1], ms=3, label="validation")
        panels[0].set(title="loss (cross-entropy)", xlabel="epoch", ylim=(0, None))
        panels[0].legend()
        shown, where = (validation, "validation") if validation else (training, "training")
        for k, column in enumerate(COLUMNS[1:]):
            values = [100 * getattr(row, column) for row in shown]
            panels[1].plot(epochs, values, f"{'os^D'[k]}-", color=PALETTE[k], ms=3, lw=1.3, label=_title(column))
        percent_axis(panels[1])
        panels[1].set(title=f"{where} scores", xlabel="epoch")
        panels[1].legend(loc="lower right")
        for panel in panels:
            panel.axvline(history.kept.epoch, color=PALETTE[2], lw=1, ls=":")
            panel.xaxis.get_major_locator().set_params(integer=True)

    kept = history.kept.validation or training[-1]
    words = Words(
        f"Training, {len(epochs)} epochs",
        "Precision, recall and F1 are unweighted means over the classes. Training values are running means within the "
        "epoch. The dotted line marks the epoch whose weights were kept.",
        f"Loss and scores over {len(epochs)} epochs; the weights kept reach a loss of {number(kept.loss)} "
        f"and an accuracy of {percent(kept.accuracy)}.",
    )
    return draw("training", paint, words=words, size=(8.0, 3.1))


def _title(column: str) -> str:
    return "F1" if column == "f1" else column


def _epochs(history: TrainingHistory) -> Table:
    columns = [_title(column) for column in COLUMNS]
    judged = history.kept.validation is not None
    return Table(
        name="epochs",
        caption="Per epoch: training and validation scores (shares, not percent) and training seconds",
        columns=("epoch", *columns, *([f"val. {column}" for column in columns] if judged else []), "seconds"),
        bodies=(tuple(_epoch(epoch) for epoch in history.epochs),),
        compact=True,
    )


def _epoch(epoch: Epoch) -> tuple[Cell, ...]:
    head = Cell(f"{epoch.epoch}{' (kept)' if epoch.kept else ''}", head=True)
    sides = [side for side in (epoch.training, epoch.validation) if side is not None]
    numbers = [f"{value:.4f}" for side in sides for _, value in side]
    return (head, *cells(*numbers, f"{epoch.seconds:.2f}"))
