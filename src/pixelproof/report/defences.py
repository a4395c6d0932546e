"""Can it resist: paper 2's tables beside ours, what its attack hides, the trade-off, and the audit's verdicts."""

from __future__ import annotations

from collections.abc import Sequence

from pixelproof import views
from pixelproof.report import defence_tables
from pixelproof.report.defence_figures import against, confusions, curves, features, tradeoff
from pixelproof.report.page import Block, Fold, Heading, Prose, ReportSection, budget, percent
from pixelproof.report.printed import printed
from pixelproof.run import Run
from pixelproof.views import OpenRun
from pixelproof.views.answer import held
from pixelproof.views.defences import Defences
from pixelproof.views.hardened import HardenedRow

GOOD_CLEAN = 0.01  # how much clean accuracy a recommendation may cost


def defences(opened: OpenRun) -> ReportSection | None:
    """The section, where the study has one of the same name."""
    run, found = opened.run, held(lambda: views.defences(opened))
    if found is None:
        return None
    rows = found.rows
    steps = run.spec["defences"]["steps"]
    by_net = {row.net: [each for each in rows if each.net == row.net] for row in rows}
    blocks: list[Block] = [Prose(_lead(run, found)), *(Prose(advice(own)) for own in by_net.values())]
    for net, own in by_net.items():
        blocks += [Heading(f"The {net}")] if len(by_net) > 1 else []
        blocks += [
            defence_tables.table_one(own),
            defence_tables.off(own, steps),
            defence_tables.on(own, steps),
            against(own),
            defence_tables.every(own, steps),
            defence_tables.costs(own, steps),
            Fold("The settings of each row", (defence_tables.settings(run, own),)),
            tradeoff(own, views.front(own)),
        ]
        if any(_learned(row) for row in own):
            blocks.append(features(own))
        blocks += [defence_tables.verdicts(own)] if any(row.audits for row in own) else []
        blocks += [defence_tables.table_two(own, printed(opened)), *curves(own), confusions(own)]
        blocks.append(Fold("Which ratio? The paper's utility", (defence_tables.utility(found, net),)))
    if found.search:
        table = defence_tables.search(run, found.search)
        blocks.append(Fold("Hyper-parameters, on validation images only", (table,)))
    return ReportSection("defences", "Can it resist?", tuple(blocks))


def _lead(run: Run, found: Defences) -> str:
    text = "; ".join(
        f"{item.net}: eps {budget(item.eps)}, where FGSM leaves {percent(item.accuracy)} of {item.n} validation images"
        for item in found.budgets
    )
    aim = percent(run.spec["defences"]["calibrate"], 0)
    said = f"The paper names no eps. Here it is the one at which FGSM leaves the baseline about {aim} ({text}). "
    worst = max(
        (row for row in found.rows if row.under("on:naive fgsm")),
        key=lambda row: row.accuracy("on:naive fgsm") - row.accuracy("on:pgd + eot"),
        default=None,
    )
    if worst is not None:
        naive, sound = worst.accuracy("on:naive fgsm"), worst.accuracy("on:pgd + eot")
        said += (
            f"With the mask left on at test, one naive FGSM step leaves “{worst.row}” ({worst.net}) "
            f"{percent(naive)}; PGD in expectation over masks leaves the same network "
            f"{percent(sound)}. The difference is the weakness of the attack, not the strength "
            "of the defence. "
        )
    said += _meaning(found.rows)
    return said + (
        " The paper's Figs. 1, 4 and 5 are below; Figs. 2 and 3, original and adversarial images and what the "
        f"{run.spec['model']['net']} makes of them, are under “What it looks like” above."
    )


def _meaning(rows: Sequence[HardenedRow]) -> str:
    """What a range is, and how many images stand behind it."""
    sizes = {row.net: row.n for row in rows}
    same = len(set(sizes.values())) == 1
    n = str(rows[0].n) if same else " and ".join(f"{size} ({net})" for net, size in sizes.items())
    if rows[0].seeds > 1:
        return f"Ranges are the lowest and highest of {rows[0].seeds} seeds; attacks on n = {n} test images."
    return f"One seed; intervals are 95 % over images, attacks on n = {n} test images."


def advice(own: Sequence[HardenedRow]) -> str:
    """What to take of one network's rows, by the numbers alone: the most robust one that keeps clean accuracy and that
    the audit lets stand.

    A row that the audit contradicts, or has missed, is never recommended; where it would have won, the text says so.
    """
    plain, net = own[0], own[0].net
    kept = [row for row in own if row.clean.value >= plain.clean.value - GOOD_CLEAN]
    able = [row for row in kept if row.shown is not False]
    text = f"Recommendation for {net}: "
    if able:
        best = max(able, key=lambda row: row.robust)
        text += (
            f"of the rows that cost at most {100 * GOOD_CLEAN:.0f} pp of clean accuracy"
            f"{'' if best.shown is None else ' and that the audit does not contradict'}, “{best.row}” holds "
            f"best under auto: {percent(best.robust)} against {percent(plain.robust)} of the baseline, at "
            f"{best.cost:.2f} times its training cost. "
        )
        text += "It was picked on the test images it is reported on, which favours it slightly. "
        if best.shown is None:
            text += "No audit was made of it, so nothing says that this can be believed. "
    else:
        best = plain
        text += "none. The audit shows no row that keeps clean accuracy to be robust. "
    for row in sorted(own, key=lambda row: row.robust, reverse=True):
        if row.robust <= best.robust:
            break
        reason = "" if row.shown is not False else ", but is not shown robust"
        text += f"“{row.row}” measures {percent(row.robust)}, at {percent(row.clean.value)} clean{reason}. "
    masks = [row for row in own if row.paper.robust is not None and row is not plain]
    if masks:
        top = max(masks, key=lambda row: row.robust)
        doubt = " It is not shown robust." if top.shown is False else ""
        gain = 100 * (top.robust - plain.robust)
        text += f"The best of the paper's masks, “{top.row}”, changes auto by {gain:+.1f} pp.{doubt}"
    return text


def _learned(row: HardenedRow) -> bool:
    return any(spec.startswith("learned-mask") for spec in row.defences)
