"""The detector on signatures (paper 1, case study 4) beside the controls without which its figures mean nothing."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure as Canvas

from pixelproof import views
from pixelproof.report.draw import MUTED, PALETTE, Words, draw, percent_axis
from pixelproof.report.page import (
    Block,
    Cell,
    Figure,
    Fold,
    Prose,
    ReportSection,
    Table,
    budget,
    cells,
    decimals,
    interval,
)
from pixelproof.report.printed import Printed, printed
from pixelproof.views import OpenRun
from pixelproof.views.answer import held
from pixelproof.views.detector_rows import KnownRow
from pixelproof.views.signature_detectors import SignatureDetectorRow as Row

AUC, ACCURACY = "AUC of the signature detector", "accuracy of the signature detector"
CONTROL_LINES = (":", "--", "-.", (0, (9, 3)))  # one per control
CONTROL_MARKS = ("s", "^", "D", "v")
SHOWN = ("clean", "left out")  # the matrices that fit the page; the others stand in tables/detectors.csv
CORNER = 10  # percent of false alarms that the close-up of the ROC curves shows


def signature_detectors(opened: OpenRun) -> ReportSection | None:
    """Detectors, controls, cross-attack matrices and the attack that knows the detector."""
    found = held(lambda: views.signature_detectors(opened))
    if found is None:
        return None
    rows, paper = found.rows, printed(opened)
    blocks: list[Block] = [Prose(_lead(rows, paper)), _beside(rows, paper), _controls(rows)]
    if any(row.cross for row in rows):
        blocks.append(_kinds(rows))
    blocks += [_alarms(rows), _roc(rows)]
    if any(row.epochs for row in rows):
        blocks.append(_epochs(rows, paper.get(ACCURACY)))
    own = [row for row in rows if not row.control]
    blocks += [_matrix(row, place) for place, row in enumerate(own)]
    others = tuple(_matrix(row, len(own) + place) for place, row in enumerate(rows[len(own) :]))
    blocks.append(Fold("The same matrices for the controls", others))
    if found.known:
        blocks.append(_adaptive(found.known))
    return ReportSection("detection", "Would signatures tell?", tuple(blocks))


def _lead(rows: Sequence[Row], paper: Mapping[str, Printed]) -> str:
    first = rows[0]
    raw = next((row for row in rows if row.control and not row.noise_kinds and row.epochs), None)
    said = f"A small network on signatures, as paper 1 trains it, has an AUC of {first.auroc.value:.3f} here. "
    if AUC in paper and ACCURACY in paper:
        said = (
            f"The paper trains a small network on signatures and reports an AUC of {paper[AUC].text} and an accuracy "
            f"of {paper[ACCURACY].text}. The same protocol gives {first.auroc.value:.3f} here. "
        )
    if raw:
        said += (
            f"That alone means little: the same network on raw pixels, without any explanation, gives "
            f"{raw.auroc.value:.3f}, so whatever shows the budget in the pixels does as "
            "well. The question is whether a detector tells an attack from noise of the same size, and of a kind that "
            "it was not fitted with. "
        )
    own = [row for row in rows if not row.control and row.cross]
    if own:
        best = max(own, key=lambda row: row.cross["left out"].value)
        said += (
            f"Fitted on one attack with some kinds of noise, and tested on another attack against the kinds left out, "
            f"“{best.detector}” reaches {best.cross['left out']}, the mean over all pairs of different "
            f"attacks; with the kinds of its own fit among them, {best.cross['noise']}."
        )
    return said


def _beside(rows: Sequence[Row], paper: Mapping[str, Printed]) -> Table:
    beside = AUC in paper and ACCURACY in paper
    body = [cells("paper 1", paper[AUC].text, paper[ACCURACY].text, "–", "–", head=1)] if beside else []
    for row in rows:
        if row.control:
            continue
        accuracy = _accuracy(row)
        body.append(
            cells(
                row.detector, row.auroc,
                "–" if accuracy is None else f"{100 * accuracy:.2f}\u00a0%",
                row.tpr1, row.tpr5, head=1,
            )
        )  # fmt: skip
    first = rows[0]
    return Table(
        name="detector-paper",
        caption=("Beside the paper: fitted" if beside else "Fitted")
        + f" and tested on {first.attack}, against clean images",
        columns=(
            "detector", "AUC [95\u00a0%]", "accuracy", "TPR at 1\u00a0% FPR", "TPR at 5\u00a0% FPR",
        ),
        bodies=(tuple(body),),
        note=f"{first.attacked_n} attacked and {first.clean_n} clean images judge, none of them fitted on. "
        + ("The paper names neither its attack nor its network for it. " if beside else "")
        + "Accuracy: after the last epoch, at even odds, for "
        "images not fitted on, with noise among them where the fit had it. Intervals are bootstrapped over images.",
    )  # fmt: skip


def _accuracy(row: Row) -> float | None:
    return row.epochs.held_out[-1] if row.epochs and row.epochs.held_out else None


def _controls(rows: Sequence[Row]) -> Table:
    keys = ("left out", "noise", "clean")
    body = [
        (
            Cell(row.detector, head=True),
            *cells(*(row.cross[key] if row.cross else "–" for key in keys)),
        )
        for row in rows
    ]
    own = sum(not row.control for row in rows)
    return Table(
        name="detector-controls",
        caption="Cross-attack AUROC [95\u00a0%]: against noise of kinds left out of the fit, and against easier images",
        columns=("detector", "noise left out", "four kinds of noise", "clean images"),
        bodies=(tuple(body[:own]), tuple(body[own:])),
        note="Mean over all pairs of fitting on one attack and testing on another; intervals from one bootstrap of the "
        "judged images for all pairs together. Noise: clean images with noise scaled, image by image, to the l2 size "
        "that the tested attack really has after clipping. Left out: fitted with sign noise and judged against "
        "shuffled, uniform and Gaussian noise, and the reverse (mean of both). Four kinds: the fit has seen sign noise "
        "and the shuffled perturbation, or none. A number that nobody fitted counts in whichever direction tells more, "
        "max(AUROC, 1 − AUROC). A detector that does not beat noise sees that something was changed, not that it was "
        "an attack.",
    )


def _kinds(rows: Sequence[Row]) -> Table:
    keys = ("sign", "shuffled", "uniform", "gaussian", "from sign", "to sign")
    body = tuple(
        (
            Cell(row.detector, head=True),
            *cells(*(decimals(row.cross[key].value) for key in keys)),
            *cells(decimals(row.from_noise.auroc.value)),
        )
        for row in rows
        if row.cross
    )
    return Table(
        name="detector-noise",
        caption="Cross-attack AUROC by kind of noise",
        columns=("detector", *keys[:4], "sign → others", "others → sign", f"{rows[0].attack} alone"),
        bodies=(body,),
        note="First four columns and the last: fitted with sign and shuffled noise, or with none. Arrows: noise of the "
        "fit → noise judged. Last column: fitted and tested on one attack, against all four kinds.",
    )


def _alarms(rows: Sequence[Row]) -> Table:
    body = tuple(
        cells(row.detector, interval(row.alarms), interval(row.false_alarms), interval(row.noise_alarms), head=1)
        for row in rows
    )
    return Table(
        name="detector-alarms",
        caption=f"Alarms at a false-alarm rate of {100 * rows[0].rate:.0f}\u00a0% ({rows[0].attack})",
        columns=("detector", "attacked alarmed", "clean alarmed", "noise alarmed"),
        bodies=(body,),
        note="The threshold comes from calibration images, neither fitted nor judged on. Noise: noise twins of the "
        "attacked images, all four kinds, which should not be alarmed.",
    )


def _roc(rows: Sequence[Row]) -> Figure:
    def paint(canvas: Canvas) -> None:
        whole, corner = canvas.subplots(1, 2, sharey=True)
        controls = itertools.count()
        for place, row in enumerate(rows):
            colour = MUTED if row.control else PALETTE[place % len(PALETTE)]
            style = CONTROL_LINES[next(controls) % len(CONTROL_LINES)] if row.control else "-"
            label = f"{row.detector} {row.auroc.value:.3f}"
            for axes in (whole, corner):
                axes.plot(_percent(row.roc.fpr), _percent(row.roc.tpr), ls=style, color=colour, label=label)
        for axes in (whole, corner):
            axes.plot([0, 100], [0, 100], color=MUTED, lw=0.6)
            percent_axis(axes)
            axes.set_xlabel("clean images flagged, %")
        corner.set_xlim(-0.2, CORNER)
        whole.set_ylabel("attacked images flagged")
        canvas.legend(*whole.get_legend_handles_labels(), fontsize=8, loc="outside lower center", ncols=2)

    focus = rows[0].attack
    words = Words(
        f"ROC curves: {focus} against clean images",
        f"The figure after each name is its AUROC. Grey: controls that know no explanation. Right: the first "
        f"{CORNER}\u00a0% of false alarms.",
        f"ROC curves of {len(rows)} detectors; the table above holds their areas.",
    )
    return draw("detector-roc", paint, words=words, size=(8.4, 4.6))


def _epochs(rows: Sequence[Row], paper: Printed | None) -> Figure:
    def paint(canvas: Canvas) -> None:
        axes = canvas.add_subplot()
        trained = [(row, row.epochs) for row in rows if row.epochs]
        for place, (row, accuracy) in enumerate(trained):
            colour = MUTED if row.control else PALETTE[place % len(PALETTE)]
            epochs = range(1, len(accuracy.fitted) + 1)
            axes.plot(epochs, _percent(accuracy.fitted), "--", color=colour, lw=1.2)
            mark = CONTROL_MARKS[place % len(CONTROL_MARKS)] if row.control else "o"
            axes.plot(epochs, _percent(accuracy.held_out), color=colour, marker=mark, ms=4, label=row.detector)
        if paper is not None:
            axes.axhline(100 * paper.value, color=MUTED, lw=0.8)
            where = (10, 100 * paper.value)
            axes.annotate(f"paper {paper.text}", where, (0, 5), textcoords="offset points", ha="right")
        percent_axis(axes)
        axes.set_xlabel("epoch")
        axes.set_ylabel("accuracy")
        axes.legend(fontsize=8, loc="lower right")

    words = Words(
        "Accuracy per epoch (paper 1, case study 4)",
        "Solid: images not fitted on; dashed: fitted ones. At even odds, on the images of the fit (with or without "
        "noise among the clean ones).",
        "Accuracy per epoch of each network.",
    )
    return draw("detector-epochs", paint, words=words, size=(7.2, 3.6))


def _percent(shares: Sequence[float]) -> list[float]:
    return [100 * share for share in shares]


def _matrix(row: Row, place: int) -> Table:
    attacks = row.attacks
    columns = ("fitted on", *(f"{attack} vs {key}" for key in SHOWN for attack in attacks))
    body = tuple(
        (
            Cell(f"{attack} (n = {row.fitted_n[line]})", head=True),
            *(
                Cell(f"{value:.3f}", shade=min(1.0, max(0.0, 2 * (1 - value))))
                for key in SHOWN
                for value in row.against[key][line]
            ),
        )
        for line, attack in enumerate(attacks)
    )
    judged = ", ".join(f"{attack} {n}" for attack, n in zip(attacks, row.judged_n, strict=True))
    return Table(
        name=f"cross-{place + 1}",
        caption=f"{row.detector}: AUROC by attack fitted on (row) and tested on (column)",
        columns=columns,
        bodies=(body,),
        note=f"Successful attacks judged: {judged}. Against clean images, and against noise of the tested attack's "
        "realised l2 size and of kinds left out of the fit; every kind stands in tables/detectors.csv. Stronger "
        "colour: closer to guessing.",
        compact=True,
    )


def _adaptive(rows: Sequence[KnownRow]) -> Table:
    first = rows[0]
    body = tuple(
        cells(row.attack, interval(row.fooled), interval(row.evaded), decimals(row.auroc), head=1) for row in rows
    )
    return Table(
        name="detector-adaptive",
        caption=f"Attacks that know “{first.detector}”: linf eps {budget(first.eps)}, {first.steps} steps, "
        f"n = {first.n}",
        columns=("attack", "fooled [95\u00a0%]", "fooled without alarm [95\u00a0%]", "AUROC of those that fool"),
        bodies=(body,),
        note=f"“Sum w”: step along misclassification minus w times the detector's score. Any of them evades on "
        f"{interval(first.lost)} of the images, at a false-alarm rate of {100 * first.rate:.0f}\u00a0%: a lower "
        "bound on evasion, for a better attack can only find more. DeepSHAP values are followed through gradient x "
        "(image − mean background), steps such as rounding through sigmoids.",
    )
