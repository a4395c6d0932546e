"""The first page of a report: what was done and what came out, in short."""

from __future__ import annotations

from pixelproof import views
from pixelproof.report.page import (
    Block,
    Cell,
    Headline,
    Prose,
    ReportSection,
    Row,
    Table,
    bounds,
    budget,
    count,
    decimals,
    interval,
    percent,
    settings,
)
from pixelproof.views import OpenRun
from pixelproof.views.answer import held
from pixelproof.views.detectors import GuardRow
from pixelproof.views.overview import Overview
from pixelproof.views.robustness import Robustness, RobustnessRow, WorstCase

BOUNDS = (
    "These are upper bounds under the attacks run here: another attack, or more steps, can only find more broken "
    "images. The intervals are 95 % Wilson intervals for the choice of test images, not for the choice of attack."
)


def summary(opened: OpenRun) -> ReportSection:
    """What was done and what came out, in one paragraph and one small table."""
    facts, found = views.overview(opened), held(lambda: views.robustness(opened))
    blocks: list[Block] = [_headline(opened, facts, found), Prose(" ".join(_lead(opened, facts, found)))]
    if found is not None:
        blocks += _alerts(found)
        if found.together:
            blocks += [Prose(BOUNDS), _overview_table(found)]
    return ReportSection("summary", "In short", tuple(blocks))


def _ends(found: Robustness) -> list[WorstCase]:
    """The budgets to speak of: the one that leaves closest to half, and the last."""
    worst = found.together
    near = min(worst, key=lambda row: abs(float(row.together) - 0.5), default=None)
    return [] if near is None else [near] if near is worst[-1] else [near, worst[-1]]


def _headline(opened: OpenRun, facts: Overview, robustness: Robustness | None) -> Headline:
    clean = facts.clean_accuracy
    ends = [] if robustness is None else _ends(robustness)
    said = [(clean, f"clean accuracy, {count(clean.n)}")]
    for row in ends:
        at = f"{row.norm} eps\u00a0{budget(row.eps)}, {count(row.together.n)}"
        said.append((row.together, f"robust accuracy, all attacks together, {at}"))
    for row in ends[-1:]:
        if control := _control(robustness, row):
            said.append((control.robust_accuracy, f"under {control.attack} of that last size, a control"))
    found = [(percent(rate.value), bounds(rate), meaning) for rate, meaning in said]
    pixel, best = held(lambda: views.one_pixel(opened)), _best_detector(opened)
    if pixel is not None:
        rate = pixel.untargeted
        found.append((percent(rate.value), bounds(rate), f"fall to one pixel, {count(pixel.n)}"))
    if best is not None:
        area = best.auroc
        limits = f"[{decimals(area.low)}, {decimals(area.high)}]"
        found.append((decimals(area.value), limits, f"AUROC of {best.detector} on {best.attack}"))
    return Headline(tuple(found))


def _best_detector(opened: OpenRun) -> GuardRow | None:
    """The row of the detector table with the highest AUROC on the attack that the study looks at closely."""
    focus, found = views.focus_of(opened.run), held(lambda: views.detectors(opened))
    rows = [] if found is None else [row for row in found.guards if row.attack == focus]
    return max(rows, key=lambda row: row.auroc.value, default=None)


def _noticed(opened: OpenRun) -> list[str]:
    """What one pixel can do, and how well that, or the focus attack, is noticed."""
    said = []
    pixel, best = held(lambda: views.one_pixel(opened)), _best_detector(opened)
    if pixel is not None:
        said.append(f"One changed pixel fools it on {interval(pixel.untargeted)} of {pixel.n} correct images.")
    if best is not None:
        lost = best.lost
        known = "" if lost is None else f"; attacks that know it evade it on {lost.hits} of {lost.n} images"
        said.append(
            f"Of the detectors {best.detector} tells {best.attack} from clean images best: AUROC "
            f"{decimals(best.auroc.value)}{known}."
        )
    return said


def _lead(opened: OpenRun, facts: Overview, robustness: Robustness | None) -> list[str]:
    clean = facts.clean_accuracy
    said = [
        f"The network {facts.net} ({facts.parameters:,} parameters) classifies {clean.hits} of {clean.n} "
        f"test images of {facts.data} correctly: {interval(clean)}.",
    ]
    if robustness is not None and robustness.rows:
        said.append(
            f"Only these {clean.hits} were attacked, {settings(opened.run)}. Robust accuracy is the share of all "
            f"{clean.n} that are right and were not broken; left standing is the share of the {clean.hits}."
        )
    for row in [] if robustness is None else _ends(robustness):
        control = _control(robustness, row)
        noise = f", while {control.attack} leaves {percent(control.robust_accuracy.value)}" if control else ""
        said.append(
            f"At {row.norm} eps = {budget(row.eps)} the strongest single attack, {row.strongest}, leaves "
            f"{interval(row.robust_accuracy)}; all attacks together leave {percent(row.together.value)}"
            f"{noise}. Left standing by all together: {percent(row.left_standing.value)}."
        )
    return said + _noticed(opened)


def _control(found: Robustness | None, row: WorstCase) -> RobustnessRow | None:
    """The first noise control in the norm and at the budget of `row`."""
    rows = () if found is None else found.rows
    same = (other for other in rows if other.control and other.norm == row.norm)
    return next((other for other in same if other.eps == row.eps), None)


def _alerts(found: Robustness) -> list[Prose]:
    """The warning that belongs to an FGSM number without PGD beside it."""
    where = ", ".join(f"{cell.norm} {budget(cell.eps)}" for cell in found.unpaired)
    if not found.unpaired:
        return []
    text = (
        f"FGSM ran without PGD at {where}. A single step says little about robustness, so the PGD rows below read "
        "“not run”. Add pgd at the same budgets to the study before drawing any conclusion."
    )
    return [Prose(text, alert=True)]


def _overview_table(robustness: Robustness) -> Table:
    """Attacks in rows, budgets in columns, robust accuracy in the cells."""
    worst = robustness.together
    found = {(row.attack, row.norm, row.eps): row.robust_accuracy.value for row in robustness.rows}
    budgets = list(dict.fromkeys((row.norm, row.eps) for row in worst))
    rows = [_shares(label, [found.get((label, *budget)) for budget in budgets]) for label in robustness.attacks]
    if robustness.unpaired and not any(curve.family == "pgd" for curve in robustness.curves):
        rows.append((Cell("pgd", head=True), *[Cell("not run")] * len(budgets)))
    together = {(row.norm, row.eps): row.together.value for row in worst}
    total = _shares("all attacks together", [together[budget] for budget in budgets])
    standing = {(row.norm, row.eps): row.left_standing.value for row in worst}
    of_right = _shares(f"left standing, of {worst[0].n}", [standing[budget] for budget in budgets])
    norms = {norm for norm, _ in budgets}
    heads = [budget(eps) if len(norms) == 1 else f"{norm} {budget(eps)}" for norm, eps in budgets]
    images = count(worst[0].together.n)
    return Table(
        name="overview",
        caption=f"Robust accuracy in % by attack and budget ({', '.join(sorted(norms))} eps), {images}",
        columns=("attack", *heads),
        bodies=(tuple(rows), (total, of_right)),
        note="Stronger colour: more images broken. All attacks together: an image stands only when no attack broke it. "
        f"Left standing: the same, of the {worst[0].n} images classified correctly before, as the papers count. Noise "
        "of the same size is a control, not an attack.",
        compact=True,
    )


def _shares(label: str, values: list[float | None]) -> Row:
    shown = (Cell("–" if v is None else f"{100 * v:.1f}", shade=None if v is None else 1 - v) for v in values)
    return (Cell(label, head=True), *shown)
