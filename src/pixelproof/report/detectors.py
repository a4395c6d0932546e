"""The detector table: every detector against every attack, with controls, and beside it the attack that knows it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from pixelproof import views
from pixelproof.report.page import (
    Block,
    Cell,
    Fold,
    Prose,
    ReportSection,
    Row,
    Table,
    brief,
    budget,
    cells,
    decimals,
    interval,
    percent,
)
from pixelproof.types import Rate
from pixelproof.views import OpenRun
from pixelproof.views.answer import held
from pixelproof.views.detector_rows import KnownRow
from pixelproof.views.detectors import ANY, GuardRow, NaturalErrors

LOST: tuple[tuple[Callable[[GuardRow], Rate | None], str], ...] = (
    (lambda row: row.lost, "evaded when known"),
    (lambda row: row.lost_pixel, "by a known pixel"),
)


def detectors(opened: OpenRun) -> ReportSection | None:
    """AUROC of every detector against every attack, natural errors, false alarms, and what knowing attacks leave."""
    found = held(lambda: views.detectors(opened))
    if found is None or not found.guards:
        return None
    rows, names = found.guards, {row.detector for row in found.guards}
    known = tuple(row for row in found.known if row.detector in names)
    blocks: list[Block] = [Prose(_lead(rows, known)), _overview(rows, known, found.natural_errors)]
    if known:
        blocks.append(_known(known))
    attacks = list(dict.fromkeys(row.attack for row in rows))
    folded: list[Block] = []
    for place, attack in enumerate(attacks):
        own = [row for row in rows if row.attack == attack]
        folded += [_figures(own, place), _controls(own, place)]
    blocks.append(Fold("Every figure of every detector, attack by attack", tuple(folded)))
    return ReportSection("guards", "Would we notice? The detector table", tuple(blocks))


def _lead(rows: Sequence[GuardRow], known: Sequence[KnownRow]) -> str:
    attacks = list(dict.fromkeys(row.attack for row in rows))
    best, names = [], brief(attacks)
    for attack in attacks:
        own = max((row for row in rows if row.attack == attack), key=lambda row: row.auroc.value)
        best.append(f"{names[attack]}: {own.detector} {own.auroc.value:.3f}")
    said = (
        "Thresholds come from clean validation images alone, one per detector for all attacks; every figure is from "
        "the half of the images that nothing was tuned on. Best AUROC by attack: " + "; ".join(best) + ". "
    )
    knowing = [row for row in known if row.attack == ANY]
    if knowing:
        strongest = min(knowing, key=lambda row: float(row.evaded))
        said += (
            f"Attacks that know the detector were tried on every one; the least evaded is {strongest.detector} "
            f"({interval(strongest.evaded)}, n = {strongest.n}), and more steps can only evade more."
        )
    return said


def _overview(rows: Sequence[GuardRow], known: Sequence[KnownRow], errors: Sequence[NaturalErrors]) -> Table:
    attacks = list(dict.fromkeys(row.attack for row in rows))
    names = list(dict.fromkeys(row.detector for row in rows))
    by_pair = {(row.detector, row.attack): row for row in rows}
    natural = {row.detector: row for row in errors}
    best = {attack: max(row.auroc.value for row in rows if row.attack == attack) for attack in attacks}
    lost = [(pick, label) for pick, label in LOST if any(pick(row) is not None for row in rows)]
    body: list[Row] = []
    for name in names:
        first = next(row for row in rows if row.detector == name)
        line = [Cell(_foldable(name) + (" (tuned)" if first.fitted_on else ""), head=True)]
        line += [Cell(_of(pick(first))) for pick, _ in lost]
        for attack in attacks:
            row = by_pair.get((name, attack))
            text = "–" if row is None else f"{row.auroc.value:.3f}"
            shade = None if row is None else 1.0 if row.auroc.value >= best[attack] else None
            line.append(Cell(text, shade=shade))
        line.append(Cell("–" if name not in natural else f"{natural[name].auroc.value:.3f}"))
        line.append(Cell(percent(first.false_alarms_5.value)))
        body.append(tuple(line))
    shown = (*(label for _, label in lost), *brief(attacks).values())
    counts = ", ".join(f"{attack} {next(row.attacked_n for row in rows if row.attack == attack)}" for attack in attacks)
    knowing = [row for row in known if row.attack == ANY]
    said = ""
    if knowing:
        any_known = knowing[0]
        said = (
            f" Evaded when known: of {any_known.n} images, those that any attack knowing the detector turned without "
            f"an alarm ({any_known.norm} eps {budget(any_known.eps)}, {any_known.steps} steps, false-alarm rate "
            f"{100 * any_known.rate:.0f}\u00a0%). By a known pixel: of images that one pixel can fool, those "
            "that the pixel which the detector finds least strange fools without an alarm."
        )
    return Table(
        name="detector-table",
        caption="AUROC by attack",
        columns=("detector", *shown, "natural errors", "false alarms at 5\u00a0%"),
        bodies=(tuple(body),),
        note=f"Against {rows[0].clean_n} correctly classified clean images. Successful attacks judged: {counts}. "
        "Coloured: the best of its column. Natural errors: misclassified clean images in the place of attacked ones; a "
        "detector that flags them as strongly finds doubt, not attacks. “Tuned”: its k was tuned on the focus attack. "
        "Intervals of every figure stand in the tables below." + said + _mute(rows),
        compact=True,
    )


def _foldable(spec: str) -> str:
    """A spec that a browser may break after its separators only."""
    return re.sub(r"([:,|])(?=\S)", "\\1\u200b", spec)


def _of(found: Rate | None) -> str:
    return "not tried" if found is None else f"{found.hits} of {found.n}"


def _mute(rows: Sequence[GuardRow]) -> str:
    """Which detectors alarm for no image at all, clean or attacked."""
    loud = {row.detector for row in rows if row.alarms_5.hits or row.false_alarms_5.hits}
    quiet = [name for name in dict.fromkeys(row.detector for row in rows) if name not in loud]
    if not quiet:
        return ""
    return (
        f" No image at all is alarmed at 5\u00a0% by: {'; '.join(quiet)}. Too many clean images have the highest score "
        "that is possible there, as with few neighbours, so no threshold keeps that rate."
    )


def _figures(rows: Sequence[GuardRow], place: int) -> Table:
    body = tuple(
        cells(
            _foldable(row.detector), str(row.auroc), str(row.aupr), str(row.fpr95),
            str(row.tpr1), str(row.eer), str(row.accuracy),
            percent(row.alarms_1.value), percent(row.alarms_5.value),
            percent(row.false_alarms_1.value), percent(row.false_alarms_5.value), head=1,
        )
        for row in rows
    )  # fmt: skip
    first = rows[0]
    return Table(
        name=f"detectors-{place + 1}",
        caption=f"{first.attack}: {first.attacked_n} attacked, {first.clean_n} clean images",
        columns=(
            "detector", "AUROC", "AUPR", "FPR at 95\u00a0% TPR", "TPR at 1\u00a0% FPR", "EER", "best accuracy",
            "alarms at 1\u00a0%", "at 5\u00a0%", "false alarms at 1\u00a0%", "at 5\u00a0%",
        ),
        bodies=(body,),
        note="Brackets: 95 % bootstrap intervals over images. Alarms: at thresholds from clean validation images for "
        "these false-alarm rates; false alarms: what they are on clean test images, misclassified ones included.",
        compact=True,
    )  # fmt: skip


def _controls(rows: Sequence[GuardRow], place: int) -> Table:
    body = tuple(
        cells(
            _foldable(row.detector),
            decimals(row.auroc_all),
            "–" if row.noise is None else str(row.noise),
            "–" if row.twins is None else str(row.twins),
            interval(row.recovered),
            interval(row.second),
            percent(row.rejected_or_right.value),
            f"{1000 * row.seconds_per_image:.2f}",
            head=1,
        )
        for row in rows
    )
    return Table(
        name=f"detector-controls-{place + 1}",
        caption=f"{rows[0].attack}: controls, recovered class, cost",
        columns=(
            "detector", "AUROC, all clean", "against shuffled noise", "against own originals", "recovered class right",
            "second class right", "alarmed or still right", "ms per image",
        ),
        bodies=(body,),
        note="Shuffled noise: clean images with the attack's perturbation at shuffled pixels; a detector that does not "
        "beat it sees that something was changed, not that it was an attack. Own originals: the clean images of the "
        "very images that fell.",
        compact=True,
    )  # fmt: skip


def _known(rows: Sequence[KnownRow]) -> Table:
    bodies = []
    for name in dict.fromkeys(row.detector for row in rows):
        own = [row for row in rows if row.detector == name]
        bodies.append(
            tuple(
                (
                    Cell(_foldable(name), head=True, quiet=bool(place)),
                    *cells(row.attack, interval(row.fooled), interval(row.evaded), decimals(row.auroc)),
                )
                for place, row in enumerate(own)
            )
        )
    first = rows[0]
    return Table(
        name="detectors-known",
        caption=f"Attacks that know the detector: {first.norm} eps {budget(first.eps)}, {first.steps} steps, "
        f"n = {first.n}",
        columns=("detector", "attack", "fooled [95\u00a0%]", "fooled without alarm [95\u00a0%]", "AUROC of those"),
        bodies=tuple(bodies),
        note="Orthogonal and selective PGD (Bryniarski et al. 2021) and the sum of both losses with a weight, through "
        "the detector's own score; neighbours vote softly. “Any of them”: the worst case of each image; its AUROC "
        "rests on each image's quietest success. “Quietest pixel”: on images that one pixel can fool, of all pixels "
        "that were found to fool the one that the guard itself finds least strange.",
        compact=True,
    )
