"""How the classifier was trained, how large and how fast it is, and how it does on clean images."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure as Canvas

from pixelproof import views
from pixelproof.report.draw import PALETTE, Words, draw, percent_axis
from pixelproof.report.page import Block, Cell, Figure, Fold, Section, Table, cells, interval, number, percent
from pixelproof.views import OpenRun


def classifier(opened: OpenRun) -> Section:
    """The network, its training curves, and the class distribution of what it gets right."""
    run = opened.run
    facts, history = views.overview(run), views.history(run)
    blocks: list[Block] = [_facts(facts, history), _distribution(facts)]
    if len(facts["per_class"]) <= 40:
        blocks.append(_bars(facts))
    if history:
        blocks += [_curves(history), Fold("Every epoch in numbers", (_epochs(history),))]
    return Section("classifier", "The classifier before any attack", tuple(blocks))


def _facts(facts: dict[str, Any], history: dict[str, Any] | None) -> Table:
    rows = [
        ("network", facts["net"]),
        ("parameters", f"{facts['parameters']:,}"),
        ("model size", f"{facts['size_bytes'] / 2**20:.2f} MiB of weights"),
        ("weights", f"digest {facts['digest']}"),
        ("clean accuracy", f"{interval(facts['clean_accuracy'])}, n = {facts['clean_accuracy']['n']}"),
        ("macro precision, recall, F1", ", ".join(percent(value) for value in facts["macro"].values())),
        ("inference time", f"{1e6 * facts['seconds_per_image']:.3g} µs per image, in batches"),
    ]
    if history:
        epochs, seconds = len(history["seconds"]), sum(history["seconds"])
        rows.append(("training time", f"{seconds:.1f} s for {epochs} epochs, {seconds / epochs:.2f} s each"))
        rows.append(("weights kept", f"those of epoch {history['kept'] + 1}, the best on validation images"))
    else:
        rows.append(("training", "none in this study: the weights were given"))
    return Table("model", f"The network and what it costs, on {_device(facts)}", ("what", "value"), (_heads(rows),))


def _heads(rows: list[tuple[str, str]]) -> tuple[tuple[Cell, ...], ...]:
    return tuple(cells(*row, head=1) for row in rows)


def _device(facts: dict[str, Any]) -> str:
    device, threads = facts["facts"]["device"], facts["facts"]["threads"]
    return f"{device} with {threads} thread{'' if threads == 1 else 's'}"


def _distribution(facts: dict[str, Any]) -> Table:
    total = facts["clean_accuracy"]["hits"]
    rows = tuple(
        (
            Cell(row["class"], head=True),
            *cells(row["n"], row["correct"], percent(row["correct"] / total if total else None)),
            *(Cell(f"{row[name]:.3f}") for name in ("precision", "recall", "f1")),
        )
        for row in facts["per_class"]
    )
    return Table(
        name="class-distribution-table",
        caption=f"Clean test images per class; the {total} classified correctly are the ones attacked",
        columns=("class", "images", "correct", "share of correct", "precision", "recall", "F1"),
        bodies=(rows,),
    )


def _bars(facts: dict[str, Any]) -> Figure:
    rows, clean = facts["per_class"], facts["clean_accuracy"]

    def paint(canvas: Canvas) -> None:
        axes = canvas.add_subplot()
        names, counts = [row["class"] for row in rows], [row["correct"] for row in rows]
        drawn = axes.bar(range(len(rows)), counts, color=PALETTE[0], width=0.7)
        axes.bar_label(drawn, fontsize=8.5)
        axes.set_xticks(range(len(rows)), names, rotation=0 if max(map(len, names)) < 8 else 45)
        axes.set_xlabel("class")
        axes.set_ylabel("correctly classified images")

    counts = ", ".join(f"{row['class']}: {row['correct']}" for row in rows)
    words = Words(
        f"Class distribution of the correctly classified images, n = {clean['hits']}",
        "The images that were attacked; their unevenness carries over into every number about attacks.",
        f"Bars with the number of correctly classified images per class. {counts}.",
    )
    return draw("class-distribution", paint, words=words, size=(8.0, 2.6))


def _curves(history: dict[str, Any]) -> Figure:
    epochs = range(1, len(history["training"]) + 1)
    held = history["validation"]

    def paint(canvas: Canvas) -> None:
        panels = canvas.subplots(1, 2)
        panels[0].plot(epochs, [row[0] for row in history["training"]], "o-", color=PALETTE[0], ms=3, label="training")
        if held:
            panels[0].plot(epochs, [row[0] for row in held], "s-", color=PALETTE[1], ms=3, label="validation")
        panels[0].set(title="loss (cross-entropy)", xlabel="epoch", ylim=(0, None))
        panels[0].legend()
        shown, where = (held, "validation") if held else (history["training"], "training")
        for k, column in enumerate(history["columns"][1:]):
            values = [100 * row[k + 1] for row in shown]
            panels[1].plot(epochs, values, f"{'os^D'[k]}-", color=PALETTE[k], ms=3, lw=1.3, label=_title(column))
        percent_axis(panels[1])
        panels[1].set(title=f"{where} scores", xlabel="epoch")
        panels[1].legend(loc="lower right")
        for panel in panels:
            panel.axvline(history["kept"] + 1, color=PALETTE[2], lw=1, ls=":")
            panel.xaxis.get_major_locator().set_params(integer=True)

    kept = held[history["kept"]] if held else history["training"][-1]
    words = Words(
        f"Training, {len(history['training'])} epochs",
        "Precision, recall and F1 are unweighted means over the classes. Training values are running means within the "
        "epoch. The dotted line marks the epoch whose weights were kept.",
        f"Loss and scores over {len(history['training'])} epochs; the weights kept reach a loss of {number(kept[0])} "
        f"and an accuracy of {percent(kept[1])}.",
    )
    return draw("training", paint, words=words, size=(8.0, 3.1))


def _title(column: str) -> str:
    return "F1" if column == "f1" else column


def _epochs(history: dict[str, Any]) -> Table:
    columns = [_title(column) for column in history["columns"]]
    rows = []
    for epoch, values in enumerate(history["training"]):
        held = history["validation"][epoch] if history["validation"] else []
        head = Cell(f"{epoch + 1}{' (kept)' if epoch == history['kept'] else ''}", head=True)
        numbers = [f"{value:.4f}" for value in (*values, *held)]
        rows.append((head, *cells(*numbers, f"{history['seconds'][epoch]:.2f}")))
    heads = [*columns, *([f"val. {column}" for column in columns] if history["validation"] else [])]
    return Table(
        name="epochs",
        caption="Per epoch: training and validation scores (shares, not percent) and training seconds",
        columns=("epoch", *heads, "seconds"),
        bodies=(tuple(rows),),
        compact=True,
    )
