"""The report of two models compared, of one-pixel certificates, and of a model that was hardened."""

from __future__ import annotations

from pixelproof.report.commands.bounds import headline
from pixelproof.report.page import Block, Prose, ReportSection, Table, cells, interval
from pixelproof.views.commands import CertificateAnswer, ComparisonAnswer, DefendedAnswer

FIRST_LOOK = "Two attacks are a first look and prove nothing: 'pixelproof audit' asks whether it can be believed."


def comparison_sections(found: ComparisonAnswer) -> tuple[ReportSection, ...]:
    """Cell by cell, with exact tests."""
    rows = tuple(
        cells(
            cell.condition,
            interval(cell.first.accuracy),
            interval(cell.second.accuracy),
            str(cell.difference),
            f"{cell.only_first} / {cell.only_second}",
            f"{cell.p_holm:.2g}" + (" *" if cell.significant else ""),
            head=1,
        )
        for cell in found.cells
    )
    columns = ("condition", found.first, found.second, "difference", "right: first / second only", "p (Holm)")
    caption = "Accuracy, under attack an upper bound; a star where the difference stands after the adjustment."
    table = Table("comparison", caption, columns, (rows,))
    warnings = tuple(Prose(text, alert=True) for text in found.warnings)
    return (ReportSection("comparison", "Which is better, and where", (*warnings, table, Prose(found.limit))),)


def certificate_sections(found: CertificateAnswer) -> tuple[ReportSection, ...]:
    """Both accuracies, and the verdict on each image."""
    rates = [
        ("one-pixel robust accuracy, at most", found.robust_accuracy),
        ("left standing of the correctly classified, at most", found.left_standing),
        ("one-pixel certified accuracy", found.certified_accuracy),
        ("proven of the correctly classified", found.proven),
    ]
    rows = tuple(
        cells(
            row.image,
            row.verdict,
            "–" if row.row is None else f"{row.row}, {row.column}",
            "–" if row.colour is None else " ".join(map(str, row.colour)),
            row.open_pixels,
            f"{row.cpu_seconds:.1f}",
            head=1,
        )
        for row in found.images
    )
    columns = ("image", "verdict", "row, column", "colour", "open pixels", "CPU seconds")
    caption = f"The first {found.n} images that the model gets right, of {found.offered} looked at."
    table = Table("certificates", caption, columns, (rows,))
    return (ReportSection("certificates", "What one pixel can do", (headline(rates), table)),)


def defended_sections(found: DefendedAnswer) -> tuple[ReportSection, ...]:
    """Both models under the same attacks, and what is proven."""
    sides = (("before", found.before), ("after", found.after))
    rows = tuple(cells(name, interval(one.clean), interval(one.fgsm), interval(one.pgd), head=1) for name, one in sides)
    caption = f"Accuracy on {found.n} test images, linf eps {found.eps_given}."
    blocks: list[Block] = [Table("defended", caption, ("model", "clean", "FGSM", "PGD"), (rows,))]
    if found.certified is not None:
        blocks.insert(0, headline([("proven by interval bounds", found.certified)]))
    if found.stopped:
        blocks.append(Prose(f"Training ended early, its best epoch is kept: {found.stopped}", alert=True))
    blocks += [Prose(text, alert=True) for text in found.warnings]
    return (ReportSection("defended", "What hardening changed", (*blocks, Prose(FIRST_LOOK))),)
