"""The report of a guard: how it was tuned, what it said of pictures, and what it is worth."""

from __future__ import annotations

from pixelproof.report.commands.bounds import headline
from pixelproof.report.page import Block, Prose, ReportSection, Table, cells, decimals, interval, percent
from pixelproof.views.commands import DetectionAnswer

MUTE = "At this k no count of neighbours is rare enough: this guard never alarms."


def detection_sections(found: DetectionAnswer) -> tuple[ReportSection, ...]:
    """False alarms and figures first, then verdicts on pictures."""
    blocks: list[Block] = [Prose(f"{found.settings}, threshold set for {100 * found.rate:g} % false alarms.")]
    if found.mute:
        blocks.append(Prose(MUTE, alert=True))
    if found.tuned:
        rows = tuple(
            cells(row.layer, row.k, row.threshold, percent(row.eer), decimals(row.auroc), head=1) for row in found.tuned
        )
        caption = f"Tuned per layer on {found.tune}; EER on the half that was tuned on, AUROC on the other."
        blocks.append(Table("tuned", caption, ("layer", "k", "threshold", "EER", "AUROC"), (rows,)))
    if found.false_alarms is not None and found.natural_error_alarms is not None:
        rates = [("false alarms on clean test images", found.false_alarms)]
        rates.append(("alarms on natural errors", found.natural_error_alarms))
        if found.known is not None:
            rates.append(("evaded by attacks that know the guard", found.known.evaded))
        blocks.insert(0, headline(rates))
    blocks += [Prose(f"{row.attack}: {row.remark}", alert=True) for row in found.attacks or () if row.remark]
    if found.attacks:
        rows = tuple(
            cells(
                row.attack,
                f"{row.fooled} of {row.attacked}",
                decimals(row.auroc),
                "–" if row.auroc_interval is None else "[{:.3f}, {:.3f}]".format(*row.auroc_interval),
                interval(row.alarms),
                interval(row.recovered),
                head=1,
            )
            for row in found.attacks
        )
        columns = ("attack", "fooled", "AUROC", "95 % interval", "alarms", "recovered class right")
        blocks.append(Table("attacks", "Each attack's fooling images against clean ones.", columns, (rows,)))
    sections = [ReportSection("guard", "What the guard is worth", tuple(blocks))]
    if found.images is not None:
        rows = tuple(
            cells(
                row.image,
                row.predicted,
                "alarm" if row.alarm else "quiet",
                f"{row.score:.4g}",
                f"{row.p_value:.4f}",
                row.recovered or "–",
                head=1,
            )
            for row in sorted(found.images, key=lambda row: (row.p_value, -row.score))
        )
        columns = ("image", "predicted", "verdict", "score", "p-value", "recovered")
        table = Table("pictures", "Strangest first.", columns, (rows,))
        sections.append(ReportSection("pictures", "What it says of the pictures", (table,)))
    return tuple(sections)
