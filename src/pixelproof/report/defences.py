"""Can it resist: paper 2's tables beside ours, what its attack hides, the trade-off, and the audit's verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pixelproof import views
from pixelproof.report.defence_figures import against, curves, features, tradeoff
from pixelproof.report.page import Block, Cell, Fold, Prose, Section, Table, cells, number, percent
from pixelproof.run import Run

Row = dict[str, Any]
PAPER_TABLE_2 = {
    "accuracy": "0.95",
    "precision": "0.96",
    "recall": "0.94",
    "F1": "0.95",
    "training time": "120 s",
    "inference time": "0.50 s",
    "model size": "1.50 MB",
}
MASKED = ("on:clean", "on:naive fgsm", "on:fgsm + eot", "on:pgd + eot")
GOOD_CLEAN = 0.01  # how much clean accuracy a recommendation may cost


def defences(run: Run) -> Section | None:
    """The section, where the study has one of the same name."""
    rows = views.defences(run)
    if not rows:
        return None
    steps = run.spec["defences"]["steps"]
    blocks: list[Block] = [Prose(_lead(run, rows)), Prose(_advice(rows))]
    for net in dict.fromkeys(row["net"] for row in rows):
        own = [row for row in rows if row["net"] == net]
        blocks += [
            _table_one(own),
            _off(own, steps),
            _on(own, steps),
            against(own),
            _all(own, steps),
            tradeoff(own, views.front(own)),
        ]
        if any(_learned(row) for row in own):
            blocks.append(features(own))
        blocks += [_verdicts(own)] if any(row["verdict"] for row in own) else []
        blocks += [_table_two(own), *curves(own), Fold("Which ratio? The paper's utility", (_utility(run, net),))]
    if views.searched(run):
        blocks.append(Fold("Hyper-parameters, on validation images only", (_search(run),)))
    return Section("defences", "Can it resist?", tuple(blocks))


def _lead(run: Run, rows: list[Row]) -> str:
    found = {item["net"]: item for item in views.budgets(run)}
    text = "; ".join(
        f"{net}: eps {item['eps']:.4f}, where FGSM leaves {percent(item['accuracy'])} of {item['n']} test images"
        for net, item in found.items()
    )
    said = f"The paper names no eps. Here it is the one at which FGSM leaves the baseline about 60 % ({text}). "
    worst = max(
        (row for row in rows if "on:naive fgsm" in row["held"]),
        key=lambda row: row["held"]["on:naive fgsm"]["value"] - row["held"]["on:pgd + eot"]["value"],
        default=None,
    )
    if worst is not None:
        held = worst["held"]
        said += (
            f"With the mask left on at test, one naive FGSM step leaves “{worst['row']}” ({worst['net']}) "
            f"{percent(held['on:naive fgsm']['value'])}; PGD in expectation over masks leaves the same network "
            f"{percent(held['on:pgd + eot']['value'])}. The difference is the weakness of the attack, not "
            f"the strength of "
            "the defence. "
        )
    return said + _meaning(rows[0])


def _meaning(row: Row) -> str:
    if row["seeds"] > 1:
        return f"Ranges are the lowest and highest of {row['seeds']} seeds; attacks on n = {row['n']} test images."
    return f"One seed; intervals are 95 % over images, attacks on n = {row['n']} test images."


def _advice(rows: list[Row]) -> str:
    """A recommendation made of the numbers alone: the most robust row that keeps clean accuracy and cost."""
    said = []
    for net in dict.fromkeys(row["net"] for row in rows):
        own = [row for row in rows if row["net"] == net]
        plain = own[0]
        kept = [row for row in own if row["clean"]["value"] >= plain["clean"]["value"] - GOOD_CLEAN]
        best = max(kept, key=lambda row: row["held"]["auto"]["value"])
        strongest = max(own, key=lambda row: row["held"]["auto"]["value"])
        masks = [row for row in own if row["paper"]["robust"] is not None and row is not plain]
        text = (
            f"Recommendation for {net}: of the rows that cost at most {100 * GOOD_CLEAN:.0f} pp of clean accuracy, "
            f"“{best['row']}” holds best under auto: {percent(best['held']['auto']['value'])} against "
            f"{percent(plain['held']['auto']['value'])} of the baseline, at {best['cost']:.2f} times its "
            f"training cost. "
        )
        if strongest is not best:
            text += (
                f"“{strongest['row']}” holds {percent(strongest['held']['auto']['value'])}, for "
                f"{percent(strongest['clean']['value'])} clean. "
            )
        if masks:
            top = max(masks, key=lambda row: row["held"]["auto"]["value"])
            gain = top["held"]["auto"]["value"] - plain["held"]["auto"]["value"]
            text += f"The best of the paper's masks, “{top['row']}”, changes auto by {100 * gain:+.1f} pp."
        said.append(text)
    return " ".join(said)


def _spread(found: Row | None) -> str:
    if found is None:
        return "–"
    return f"{percent(found['value'])} [{100 * found['low']:.1f}, {100 * found['high']:.1f}]"


def _table_one(rows: list[Row]) -> Table:
    body = tuple(
        (
            Cell(row["row"], head=True),
            *cells(
                percent(row["paper"]["training"], 0), percent(row["training"]["value"]),
                percent(row["paper"]["clean"], 0), percent(row["clean"]["value"]),
                percent(row["paper"]["robust"], 0), _spread(row["held"]["fgsm"]),
                _spread(row["held"].get("on:naive fgsm")),
                "–" if row["paper"]["time"] is None else f"+{100 * row['paper']['time']:.0f}\u00a0%",
                f"{100 * (row['cost'] - 1):+.0f}\u00a0%",
            ),
        )
        for row in rows
        if row["paper"]["robust"] is not None
    )  # fmt: skip
    return Table(
        name=f"defence-table-1-{rows[0]['net']}",
        caption=f"The paper's Table I beside ours: {rows[0]['net']}, linf eps {number(rows[0]['eps'])}",
        columns=(
            "model", "training: paper", "ours", "test: paper", "ours", "under FGSM: paper",
            "ours, mask off", "ours, mask on, naive", "time: paper", "ours, CPU",
        ),
        bodies=(body,),
        note="Training accuracy is measured on masked images. Mask on: one FGSM step along a single draw of "
        "the mask, as a "
        "reader of the paper would do it. Time: CPU seconds of the whole training, measured once each on "
        "a busy machine; "
        "docs/benchmarks.md holds paired ratios.",
    )  # fmt: skip


def _off(rows: list[Row], steps: int) -> Table:
    names = ("clean", "fgsm", "pgd", "auto")
    return Table(
        name=f"defence-off-{rows[0]['net']}",
        caption=f"Mask off at test, as the paper's step 5 has it: what each attack leaves ({rows[0]['net']})",
        columns=("model", "clean", "FGSM", f"PGD-{steps}", "auto"),
        bodies=(_read(rows, names),),
    )


def _on(rows: list[Row], steps: int) -> Table:
    return Table(
        name=f"defence-on-{rows[0]['net']}",
        caption=f"The same weights, mask on at test: what each attack leaves ({rows[0]['net']})",
        columns=("model", "clean", "naive FGSM", "FGSM + EOT", f"PGD-{steps} + EOT"),
        bodies=(_read([row for row in rows if "on:clean" in row["held"]], MASKED),),
        note="EOT: gradients in expectation over draws of the mask (Athalye et al. 2018); random models are scored as "
        "the mean of several passes. A fixed mask draws nothing, so its expectation is itself.",
    )


def _read(rows: list[Row], names: Sequence[str]) -> tuple[tuple[Cell, ...], ...]:
    shown = [row for row in rows if row["paper"]["robust"] is not None]
    return tuple(
        (Cell(row["row"], head=True), *cells(*(_spread(row["held"].get(name)) for name in names))) for row in shown
    )


def _all(rows: list[Row], steps: int) -> Table:
    also = [name for name in rows[0]["held"] if "@" in name]
    certain = any(row["certified"] for row in rows)
    body = tuple(
        (
            Cell(row["row"], head=True),
            *cells(
                _spread(row["clean"]),
                *(_spread(row["held"].get(name)) for name in ("fgsm", "pgd", "auto", *also)),
                *((_spread(row["certified"]),) if certain else ()),
                f"{row['cpu_seconds']:.1f}", f"{row['cost']:.2f}",
            ),
        )
        for row in rows
    )  # fmt: skip
    proven = "; certified: a lower bound" if certain else ""
    specs = " · ".join(f"{row['row']}: {' + '.join(row['defences'])}" for row in rows if row["defences"])
    return Table(
        name=f"defence-rows-{rows[0]['net']}",
        caption=f"Every defence, mask off at test: {rows[0]['net']}, linf eps {number(rows[0]['eps'])}",
        columns=(
            "model", "clean", "FGSM", f"PGD-{steps}", "auto", *(name.replace("@", ", eps ") for name in also),
            *(("certified",) if certain else ()), "CPU s", "of baseline",
        ),
        bodies=(body,),
        note=f"auto: the ensemble of the evaluation suite, an upper bound{proven}. {specs}.",
        compact=True,
    )  # fmt: skip


def _verdicts(rows: list[Row]) -> Table:
    body = tuple(
        cells(
            row["row"], "yes" if row["believable"] else "no", ", ".join(row["raised"]) or "none", row["verdict"], head=1
        )
        for row in rows
        if row["verdict"]
    )
    return Table(
        name=f"defence-audit-{rows[0]['net']}",
        caption="What the audit says of each row (first seed)",
        columns=("model", "believable", "red flags", "verdict"),
        bodies=(body,),
        note="“Believable” means that nothing contradicts the bound, not that the model is robust.",
    )


def _table_two(rows: list[Row]) -> Table:
    best = max(rows, key=lambda row: row["held"]["auto"]["value"])
    paper = [row for row in rows if row["row"].startswith("random 30")][:1]
    shown = list({row["row"]: row for row in (rows[0], *paper, best)}.values())

    def values(row: Row) -> list[str]:
        macro = row["macro"]
        return [
            *(f"{macro[name]:.4f}" for name in ("accuracy", "precision", "recall", "f1")),
            f"{row['cpu_seconds']:.1f} CPU s",
            f"{1e4 * row['seconds_per_image']:.3g} CPU s per 10,000",
            f"{row['size_bytes'] / 1e6:.2f} MB",
        ]

    found = [values(row) for row in shown]
    body = tuple(
        cells(name, claimed, *(column[k] for column in found), head=1)
        for k, (name, claimed) in enumerate(PAPER_TABLE_2.items())
    )
    return Table(
        name=f"defence-table-2-{rows[0]['net']}",
        caption=f"The paper's Table II beside ours ({rows[0]['net']}, clean test images, first seed)",
        columns=("metric", "paper", *(row["row"] for row in shown)),
        bodies=(body,),
        note="The paper does not say which of its models Table II describes, nor what its inference time is of.",
    )


def _utility(run: Run, net: str) -> Table:
    rows = [row for row in views.utilities(run) if row["net"] == net]

    def cell(row: Row, key: str) -> str:
        return f"{row[key]:.3f}{' ←' if row[f'best_{key}'] else ''}"

    body = tuple(
        cells(row["row"], *(cell(row, key) for key in ("claimed", "naive", "believable")), head=1) for row in rows
    )
    weight = rows[0]["weight"] if rows else 0.5
    return Table(
        name=f"defence-utility-{net}",
        caption=f"Utility (Eq. 34) = {1 - weight:g} · clean + {weight:g} · robust",
        columns=("model", "with the paper's figures", "ours, mask on, naive FGSM", "ours, mask off, auto"),
        bodies=(body,),
        note="The arrow marks the row each reading would pick. The paper leaves the function open; this is the "
        "simplest one.",
    )


def _search(run: Run) -> Table:
    rows = views.searched(run)
    body = tuple(
        cells(
            row["mask"], row["training"].partition(":")[2], percent(row["clean"]), percent(row["robust"]),
            f"{row['utility']:.3f}", f"{row['cpu_seconds']:.1f}", head=1,
        )
        for row in rows
    )  # fmt: skip
    return Table(
        name="defence-search",
        caption=f"Random search on {rows[0]['net']}: {rows[0]['n']} validation images, PGD-20 at eps "
        f"{number(rows[0]['eps'])}",
        columns=("mask", "training", "clean", "PGD-20", "utility", "CPU s"),
        bodies=(body,),
        note="Ordered by utility. No test image was looked at; the rows of the tables above were fixed beforehand.",
        compact=True,
    )


def _learned(row: Row) -> bool:
    return any(spec.startswith("learned-mask") for spec in row["defences"])
