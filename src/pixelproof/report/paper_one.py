"""Paper 1, figure by figure: what it printed, what came out here, and the section that shows it."""

from __future__ import annotations

from collections.abc import Callable

from pixelproof import views
from pixelproof.report.critical import TEST
from pixelproof.report.page import Prose, ReportSection, Table, budget, cells, count, interval, percent
from pixelproof.report.printed import printed
from pixelproof.report.signature_detectors import ACCURACY, AUC
from pixelproof.views import OpenRun
from pixelproof.views.answer import held
from pixelproof.views.signature_detectors import SignatureDetectorRow

ABSENT = "not in this study"
CLEAN = "clean images"
SAID = (
    "Every figure, table and number of paper 1 and what stands for it here. A figure that agrees is not yet one that "
    "means what the paper says: the sections below put beside each the control that it needs."
)


def paper_one(opened: OpenRun) -> ReportSection | None:
    """The way through the report for a reader of paper 1; None where the study does not ask for its figures."""
    found = printed(opened)
    if held(lambda: views.critical(opened)) is None or not {CLEAN, TEST, AUC, ACCURACY} <= set(found):
        return None
    body = tuple(
        cells(name, there if isinstance(there, str) else found[there[0]].text + there[1], ours(opened), where, head=1)
        for name, there, ours, where in LINES
    )
    table = Table(
        name="paper-one",
        caption="Paper 1, figure by figure",
        columns=("paper 1", "printed there", "here", "section"),
        bodies=(body,),
    )
    return ReportSection("paper-one", "Paper 1, figure by figure", (Prose(SAID), table))


def _stages(opened: OpenRun) -> str:
    found = held(lambda: views.robustness(opened))
    attacks = 0 if found is None else len(found.attacks)
    return f"{views.overview(opened).net}, {attacks} attacks, signatures, critical pixels, detectors: one run"


def _clean(opened: OpenRun) -> str:
    rate = views.overview(opened).clean_accuracy
    return f"{rate.hits} of {rate.n}, {interval(rate)}"


def _maps(opened: OpenRun) -> str:
    found = held(lambda: views.penultimate(opened))
    stored = () if found is None else found.projections
    return "; ".join(f"{one.method.upper()} of {one.space}, {count(len(one.labels))}" for one in stored)


def _shown(opened: OpenRun) -> str:
    facts, found = views.critical(opened), views.signatures(opened)
    gap = f"{found.largest:.0e}".replace("-", "\u2011")  # kept on one line
    return f"{facts.attack}, eps {budget(facts.eps)}; {found.n} maps, largest gap {gap}"


def _overlaid(opened: OpenRun) -> str:
    facts = views.critical(opened)
    return f"{facts.k} pixels per image and over all images, both senses"


def _table_one(opened: OpenRun) -> str:
    facts = views.critical(opened)
    return ", ".join(f"{sense.sense} repairs {percent(sense.repaired)}" for sense in facts.senses)


def _table_two(opened: OpenRun) -> str:
    rows = {row.group: row.size.value for row in views.signatures(opened).proximity}
    if not rows:
        return ABSENT
    far, near, chance = (rows[group] for group in ("far from 0", "close to 0", "random"))
    return f"logit moves by {far:.2f} far from 0, {near:.2f} close to it, {chance:.2f} at random"


def _curves(opened: OpenRun) -> str:
    found = held(lambda: views.robustness(opened))
    if found is None or not found.together:
        return ABSENT
    worst, last = found.together, found.together[-1]
    standing = f"{percent(last.left_standing.value)} left standing of the correctly classified"
    return f"{len(worst)} budgets; all together leave {percent(last.together.value)} at {budget(last.eps)} ({standing})"


def _beside(source: str) -> Callable[[OpenRun], str]:
    def ours(opened: OpenRun) -> str:
        rows = [row for row in views.paper(opened) if row.source == source]
        apart = sorted(abs(row.difference) for row in rows if row.difference is not None)
        if not apart:
            return ABSENT
        return f"{len(apart)} cells, apart by {100 * apart[len(apart) // 2]:.1f} points (median)"

    return ours


def _t_test(opened: OpenRun) -> str:
    facts = views.critical(opened)
    pooled = facts.pooled
    p = f"= {pooled.p:.3g}" if pooled.p >= 1e-300 else "< 1e-300"
    return f"t = {pooled.t:.4g}, p {p}; on clean images in {percent(facts.null.pooled.value)} of runs, too"


def _means(opened: OpenRun) -> str:
    facts = views.critical(opened)
    critical, other = facts.pooled.means
    return f"mean |change| {critical:.3g} against {other:.3g}"


def _inside(opened: OpenRun) -> str:
    found = held(lambda: views.penultimate(opened))
    rows = () if found is None else found.rows
    told = (f"{row.attack} {row.separability:.2f}" for row in rows if row.separability is not None)
    return f"AUROC of a line: {', '.join(told)}"


def _network(opened: OpenRun) -> SignatureDetectorRow | None:
    """The paper's classifier: a network on signatures, fitted without noise."""
    found = held(lambda: views.signature_detectors(opened))
    rows = () if found is None else found.rows
    return next((row for row in rows if row.epochs and not row.control and not row.noise_kinds), None)


def _accuracy(opened: OpenRun) -> str:
    row = _network(opened)
    if row is None or row.epochs is None:
        return ABSENT
    fitted, held_out = row.epochs.fitted, row.epochs.held_out
    return f"{percent(fitted[-1], 2)} fitted, {percent(held_out[-1], 2)} not fitted, after {len(fitted)} epochs"


def _auc(opened: OpenRun) -> str:
    row = _network(opened)
    return ABSENT if row is None else str(row.auroc)


# What the paper calls it, what it printed (or what the study says of that, and words after it), ours, and the section.
LINES: tuple[tuple[str, str | tuple[str, str], Callable[[OpenRun], str], str], ...] = (
    ("Fig. 1, overview", "five stages", _stages, "In short"),
    ("Section III", (CLEAN, " correct"), _clean, "The classifier before any attack"),
    ("Fig. 2a–c, UMAP", "clusters, attacks in and around them", _maps, "Inside the network"),
    ("Fig. 3, SHAP heat maps", "pictures", _shown, "Why it was fooled"),
    ("Fig. 4, critical pixels", "pictures", _overlaid, "Why it was fooled"),
    ("Table I, generation and detection", "words", _table_one, "Why it was fooled"),
    ("Table II, close to and far from 0", "words", _table_two, "Why it was fooled"),
    ("Fig. 5, robust accuracy", "four curves", _curves, "How much the classifier withstands"),
    ("Table III, misclassifications", "24 counts", _beside("Table III"), "Beside the paper"),
    ("Table IV, scores per class", "F1, precision, recall", _beside("Table IV"), "Beside the paper, Scores per class"),
    ("Case study 2, t-test", (TEST, ""), _t_test, "Critical pixels"),
    ("Fig. 6a, 6b, critical or not", "bars, histograms", _means, "Critical pixels"),
    ("Case study 3, penultimate layer", "no result", _inside, "Inside the network"),
    ("Case study 4, accuracy", (ACCURACY, " after 10 epochs"), _accuracy, "Would signatures tell?"),
    ("Case study 4, AUC", (AUC, ""), _auc, "Would signatures tell?"),
)
