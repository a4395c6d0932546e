"""What `detect` prints: settings, tuning, verdicts on pictures, figures on test images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pixelproof.cli.screen import err, loud, out, percent, table
from pixelproof.specs import budget

if TYPE_CHECKING:
    from pixelproof.types import Rate
    from pixelproof.views.commands import DetectionAnswer
    from pixelproof.views.commands.detected import PictureRow

SHOWN = 20


def show(found: DetectionAnswer, *, quiet: bool) -> None:
    """Print what `detect` found, without hints when `quiet`."""
    loud(found.warnings)
    out.print(found.settings, highlight=False, markup=False, style="dim", soft_wrap=True)
    for row in found.tuned:
        out.print(
            f"{row.layer}: k = {row.k}, threshold {row.threshold}, EER {100 * row.eer:.1f} %, accuracy "
            f"{100 * row.accuracy:.1f} % (n = {row.clean} clean, {row.attacked} attacked)",
            highlight=False,
        )
    if found.mute:
        err.print(
            f"at this k no count of neighbours is rare enough for {100 * found.rate:g} % false alarms: this guard "
            "never alarms. Raise k or --rate, or set a threshold: neighbours:k=5,threshold=2.",
            style="yellow",
            highlight=False,
        )
    if found.images is not None:
        _pictures(found.detector, found.images, quiet=quiet)
    if found.false_alarms is not None and found.natural_error_alarms is not None:
        _tested(found, found.false_alarms, found.natural_error_alarms)
    if found.known is not None:
        known = found.known
        out.print(
            f"attacks that know the guard (linf {budget(known.eps)}): {percent(known.evaded)} evade, "
            f"n={known.evaded.n}",
            highlight=False,
        )
    if found.folder is not None:
        out.print(f"guard: {found.folder} ({'new' if found.new else 'kept'})", soft_wrap=True)


def _pictures(detector: str, images: Sequence[PictureRow], *, quiet: bool) -> None:
    rows = sorted(images, key=lambda row: (row.p_value, -row.score))
    body = [
        (
            row.image,
            row.predicted,
            "alarm" if row.alarm else "quiet",
            f"{row.score:.4g}",
            f"{row.p_value:.4f}",
            row.recovered or "-",
        )
        for row in rows[:SHOWN]
    ]
    title = f"{detector}: {sum(row.alarm for row in rows)} of {len(rows)} images alarmed, strangest first"
    table(title, ["image", "predicted", "verdict", "score", "p-value", "recovered"], body)
    if len(rows) > SHOWN and not quiet:
        err.print(f"{len(rows) - SHOWN} more: --json gives all of them, with their neighbours", style="dim")


def _tested(found: DetectionAnswer, clean: Rate, wrong: Rate) -> None:
    out.print(f"clean accuracy {percent(found.clean_accuracy)}", highlight=False)
    out.print(f"false alarms {percent(clean)} of {clean.n} clean test images", highlight=False)
    out.print(f"alarms on natural errors {percent(wrong)}, n={wrong.n}", highlight=False)
    attacks = found.attacks or ()
    body = [
        (
            row.attack,
            f"{row.fooled} of {row.attacked}",
            "-" if row.auroc is None else f"{row.auroc:.3f}",
            percent(row.alarms),
            percent(row.recovered),
        )
        for row in attacks
    ]
    if body:
        table(found.detector, ["attack", "fooled", "AUROC", "alarms", "recovered class right"], body)
    for row in attacks:
        if row.remark:
            out.print(f"{row.attack}: {row.remark}", highlight=False, markup=False)
