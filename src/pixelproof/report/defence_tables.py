"""Tables about defences: paper 2's beside ours, every attack, the audit's verdicts, utility and search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pixelproof.report.page import Cell, Table, budget, cells, percent
from pixelproof.report.printed import Printed
from pixelproof.run import Run
from pixelproof.views.defences import Defences, SearchTrial, Utility
from pixelproof.views.hardened import HardenedRow, Spread

SCORES = ("accuracy", "precision", "recall", "F1", "training time", "inference time", "model size")
MASKED = ("on:clean", "on:naive fgsm", "on:fgsm + eot", "on:pgd + eot")


def _spread(found: Spread | None) -> str:
    if found is None:
        return "–"
    return f"{percent(found.value)} [{100 * found.low:.1f}, {100 * found.high:.1f}]"


def table_one(rows: Sequence[HardenedRow]) -> Table:
    """Table I: the paper's figures and ours, mask off and on."""
    body = tuple(
        (
            Cell(row.row, head=True),
            *cells(
                percent(row.paper.training, 0), percent(row.training.value),
                percent(row.paper.clean, 0), percent(row.clean.value),
                percent(row.paper.robust, 0), _spread(row.under("fgsm")),
                _spread(row.under("on:naive fgsm")),
                "–" if row.paper.time is None else f"+{100 * row.paper.time:.0f}\u00a0%",
                f"{100 * (row.cost - 1):+.0f}\u00a0%",
            ),
        )
        for row in rows
        if row.paper.robust is not None
    )  # fmt: skip
    return Table(
        name=f"defence-table-1-{rows[0].net}",
        caption=f"The paper's Table I beside ours: {rows[0].net}, linf eps {budget(rows[0].eps)}",
        columns=(
            "model", "training: paper", "ours", "test: paper", "ours", "under FGSM: paper",
            "ours, mask off", "ours, mask on, naive", "time: paper", "ours, CPU",
        ),
        bodies=(body,),
        note="Training accuracy is measured on masked images. Mask on: one FGSM step along a single draw of the mask, "
        "as a reader of the paper would do it. Time: CPU seconds of the whole training, measured once each on a busy "
        "machine; docs/benchmarks.md holds paired ratios.",
    )  # fmt: skip


def off(rows: Sequence[HardenedRow], steps: int) -> Table:
    """What each attack leaves of the paper's rows with the mask off."""
    names = ("clean", "fgsm", "pgd", "auto")
    return Table(
        name=f"defence-off-{rows[0].net}",
        caption=f"Mask off at test, as the paper's step 5 has it: what each attack leaves ({rows[0].net})",
        columns=("model", "clean", "FGSM", f"PGD-{steps}", "auto"),
        bodies=(_read(rows, names),),
    )


def on(rows: Sequence[HardenedRow], steps: int) -> Table:
    """What each attack leaves of the rows that have a mask at test."""
    return Table(
        name=f"defence-on-{rows[0].net}",
        caption=f"The same weights, mask on at test: what each attack leaves ({rows[0].net})",
        columns=("model", "clean", "naive FGSM", "FGSM + EOT", f"PGD-{steps} + EOT"),
        bodies=(_read([row for row in rows if row.under("on:clean")], MASKED),),
        note="EOT: gradients in expectation over draws of the mask (Athalye et al. 2018); random models are scored as "
        "the mean of several passes. A fixed mask draws nothing, so its expectation is itself.",
    )


def _read(rows: Sequence[HardenedRow], names: Sequence[str]) -> tuple[tuple[Cell, ...], ...]:
    shown = [row for row in rows if row.paper.robust is not None]
    return tuple((Cell(row.row, head=True), *cells(*(_spread(row.under(name)) for name in names))) for row in shown)


def every(rows: Sequence[HardenedRow], steps: int) -> Table:
    """Every row of a network at the budget that was found for it."""
    names = ("fgsm", "pgd", "auto")
    body = tuple(
        (
            Cell(row.row, head=True),
            *cells(_spread(row.clean), *(_spread(row.under(name)) for name in names)),
        )
        for row in rows
    )
    proven = "; ".join(f"{row.row} {_spread(row.certified)}" for row in rows if row.certified)
    return Table(
        name=f"defence-rows-{rows[0].net}",
        caption=f"Every defence, mask off at test: {rows[0].net}, linf eps {budget(rows[0].eps)}",
        columns=("model", "clean", "FGSM", f"PGD-{steps}", "auto"),
        bodies=(body,),
        note="auto: the ensemble of the evaluation suite, an upper bound. Clean: all test images."
        + (f" Certified at this eps, a lower bound: {proven}." if proven else ""),
        compact=True,
    )


def costs(rows: Sequence[HardenedRow], steps: int) -> Table:
    """Every row at the further budgets, and what its training cost."""
    also = [each for each in rows[0].held if "@" in each.name]
    body = tuple(
        (
            Cell(row.row, head=True),
            *cells(
                *(_spread(row.under(each.name)) for each in also),
                f"{row.cpu_seconds:.1f}", f"{row.cost:.2f}", row.parameters, row.features,
            ),
        )
        for row in rows
    )  # fmt: skip
    heads = [f"{each.attack.replace('pgd', f'PGD-{steps}')} at eps {budget(each.eps)}" for each in also]
    return Table(
        name=f"defence-costs-{rows[0].net}",
        caption=f"{'At other budgets, and what' if also else 'What'} it costs: {rows[0].net}",
        columns=("model", *heads, "CPU s of training", "times the baseline", "weights", "features seen"),
        bodies=(body,),
        note="Costs are means over the seeds and hold for the whole training.",
        compact=True,
    )


def settings(run: Run, rows: Sequence[HardenedRow]) -> Table:
    """The specs behind the names."""
    asked = {row["name"]: row["training"] for row in run.spec["defences"]["rows"]}
    body = tuple(
        cells(row.row, " + ".join(row.defences) or "none", asked[row.row] or "the study's", head=1) for row in rows
    )
    return Table(
        name=f"defence-settings-{rows[0].net}",
        caption=f"What each row is: {rows[0].net}",
        columns=("model", "defences", "training"),
        bodies=(body,),
        note=f"The study's training: {run.spec['training'] or 'settings that suit the network'}. A searched row takes "
        "batch size and learning rate from the search.",
        words=True,
    )


def verdicts(rows: Sequence[HardenedRow]) -> Table:
    """The audit's word on each row, mask off and on."""
    said = [(f"{row.row}{', mask on at test' if audit.mask_on else ''}", audit) for row in rows for audit in row.audits]
    body = tuple(
        cells(
            name,
            "stands" if audit.believable else "not shown robust",
            ", ".join(audit.raised) or "none",
            audit.verdict,
            head=1,
        )
        for name, audit in said
    )
    return Table(
        name=f"defence-audit-{rows[0].net}",
        caption=f"What the audit says of each row: {rows[0].net}, first seed, n = {said[0][1].n} test images",
        columns=("model", "bound", "red flags raised or noted", "verdict"),
        bodies=(body,),
        note="“Stands”: nothing contradicts the bound; it does not say that the model is robust. Not every flag blocks "
        "a bound. With random masks on, an image counts as held here when most passes are right; the tables above give "
        "the share of passes.",
        words=True,
    )


def table_two(rows: Sequence[HardenedRow], paper: Mapping[str, Printed]) -> Table:
    """Table II: scores and costs of the baseline, the row the study puts beside the paper, and the best believed."""
    able = [row for row in rows if row.shown is not False] or rows[:1]
    best = max(able, key=lambda row: row.robust)
    claimed = {name: paper[name] for name in SCORES if name in paper}
    asked = {each.row for each in claimed.values()}
    beside = [row for row in rows if row.row in asked]
    shown = list({row.row: row for row in (rows[0], *beside, best)}.values())

    def values(row: HardenedRow) -> list[str]:
        macro = row.macro
        return [
            *(f"{value:.4f}" for value in (float(row.correct), macro.precision, macro.recall, macro.f1)),
            f"{row.cpu_seconds:.1f} CPU s",
            f"{1e4 * row.seconds_per_image:.3g} CPU s per 10,000",
            f"{row.size_bytes / 1e6:.2f} MB",
        ]

    what = "The paper's Table II beside ours" if claimed else "Scores and costs"
    found = [values(row) for row in shown]
    body = tuple(
        cells(name, *_claimed(claimed, name), *(column[k] for column in found), head=1) for k, name in enumerate(SCORES)
    )
    return Table(
        name=f"defence-table-2-{rows[0].net}",
        caption=f"{what} ({rows[0].net}, clean test images, first seed)",
        columns=("metric", *(["paper"] if claimed else []), *(row.row for row in shown)),
        bodies=(body,),
        note="The paper does not say which of its models Table II describes, nor what its inference time is of."
        if claimed
        else "",
    )


def _claimed(claimed: Mapping[str, Printed], name: str) -> list[str]:
    """The paper's cell of a line; no cell where the study gives no figures."""
    return [claimed[name].text if name in claimed else "–"] if claimed else []


def utility(found: Defences, net: str) -> Table:
    """The paper's utility under three readings."""
    rows = [row for row in found.utilities if row.net == net]

    def values(row: Utility) -> tuple[str, str, str]:
        return (
            _picked(row.claimed, best=row.best_claimed, shown=None),
            _picked(row.naive, best=row.best_naive, shown=row.shown_on),
            _picked(row.ensemble, best=row.best_ensemble, shown=row.shown),
        )

    body = tuple(cells(row.row, *values(row), head=1) for row in rows)
    weight = rows[0].weight if rows else 0.5
    return Table(
        name=f"defence-utility-{net}",
        caption=f"Utility (Eq. 34) = {1 - weight:g} · clean + {weight:g} · robust: {net}",
        columns=("model", "with the paper's figures", "ours, mask on, naive FGSM", "ours, mask off, auto"),
        bodies=(body,),
        note="The arrow marks the row each reading would pick; the last one picks only what the audit does not "
        "contradict. Ours pick on the test images that they are reported on. The paper leaves the function open; this "
        "is the simplest one. " + ("No row was audited." if all(row.shown is None for row in rows) else ""),
    )


def _picked(value: float, *, best: bool, shown: bool | None) -> str:
    return f"{value:.3f}{' ←' if best else ''}{' not shown robust' if shown is False else ''}"


def search(run: Run, rows: Sequence[SearchTrial]) -> Table:
    """Every trial of the search."""
    asked = run.spec["defences"]["search"]
    used = any(row["searched"] for row in run.spec["defences"]["rows"])
    attack = _called(rows[0].attack)
    body = tuple(
        cells(
            row.mask, row.training.partition(":")[2], percent(row.clean), percent(row.robust),
            f"{row.utility:.3f}", f"{row.cpu_seconds:.1f}", head=1,
        )
        for row in rows
    )  # fmt: skip
    return Table(
        name="defence-search",
        caption=f"Random search on {rows[0].net}: {rows[0].n} validation images, {attack} at eps {budget(rows[0].eps)}",
        columns=("mask", "training", "clean", attack, "utility", "CPU s"),
        bodies=(body,),
        note=f"{len(rows)} random draws of ratio, pattern, fill, variability, learning rate and batch size, each "
        f"trained once for {asked['epochs']} epochs on {asked['train']} images: enough to rank coarse differences, not "
        "to find an optimum. Ordered by utility on validation images; eps was found on validation images, too, and no "
        "test image was looked at. "
        + ("The first line was trained anew at full length and is a row above; the" if used else "The")
        + (" other" if used else "")
        + " rows above were fixed beforehand.",
        compact=True,
    )


def _called(attack: str) -> str:
    """An attack's name in a table's head, with its steps: "PGD-20" for "pgd:steps=20"."""
    name, _, settings = attack.partition(":")
    given = dict(item.partition("=")[::2] for item in settings.split(","))
    return f"{name.upper()}-{given['steps']}" if "steps" in given else name.upper()
