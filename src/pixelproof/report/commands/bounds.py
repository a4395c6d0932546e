"""The report of an evaluation and of an audit: the bound, part by part, and every red flag."""

from __future__ import annotations

from collections.abc import Sequence

from pixelproof.report.page import Block, Headline, Prose, ReportSection, Table, bounds, cells, count, percent
from pixelproof.specs import decimal
from pixelproof.types import Rate
from pixelproof.views.commands import AuditAnswer, EvaluationAnswer

UNAUDITED = "A bound alone does not say whether it can be believed: 'pixelproof audit' asks that."


def headline(figures: Sequence[tuple[str, Rate]]) -> Headline:
    """Rates to remember, by what they are."""
    return Headline(
        tuple(
            (percent(rate.value if rate.n else None), f"{bounds(rate)}, {count(rate.n)}", name)
            for name, rate in figures
        )
    )


def evaluation_sections(found: EvaluationAnswer) -> tuple[ReportSection, ...]:
    """The bound with its parts, and the curve where there is one."""
    blocks: list[Block] = [headline(_figures(found)), Prose(UNAUDITED)]
    blocks += [Prose(text, alert=True) for text in found.flags]
    blocks += [Prose(f"Noted: {text}.") for text in found.notes]
    sections = [ReportSection("bound", "How much is left standing", (*blocks, _parts(found)))]
    if found.curve is not None:
        curve = found.curve
        points = zip(curve.eps, curve.robust_accuracy_at_most, strict=True)
        rows = tuple(cells(decimal(eps), percent(rate.value), bounds(rate), head=1) for eps, rate in points)
        caption = f"Robust accuracy at most, {found.norm}; {curve.searched} of {len(found.images)} images searched."
        table = Table("curve", caption, ("eps", "robust accuracy", "95 % interval"), (rows,))
        sections.append(ReportSection("curve", "Over a range of budgets", (table,)))
    return tuple(sections)


def audit_sections(found: AuditAnswer) -> tuple[ReportSection, ...]:
    """The verdict with the bound, and every red flag."""
    figures = _figures(found)
    if found.robust_accuracy_at_least is not None:
        figures.append(("robust accuracy, at least: proven", found.robust_accuracy_at_least))
    blocks: list[Block] = [headline(figures)]
    if not found.believable:
        blocks.append(Prose(found.verdict, alert=True))
    blocks += [Prose(text, alert=True) for text in found.warnings]
    blocks += [Prose(f"Noted: {text}.") for text in found.notes]
    rows = tuple(cells(f.flag, f.status, "yes" if f.blocks else "no", f.found, head=1) for f in found.flags)
    columns = ("red flag", "result", "blocks", "what was seen")
    flags = Table("flags", "What could make the bound a look-alike.", columns, (rows,), words=True)
    return (
        ReportSection("bound", "How much is left standing", (*blocks, _parts(found))),
        ReportSection("flags", "What speaks against it", (flags,)),
    )


def _figures(found: EvaluationAnswer | AuditAnswer) -> list[tuple[str, Rate]]:
    return [
        ("clean accuracy", found.clean_accuracy),
        ("robust accuracy, at most", found.robust_accuracy_at_most),
        ("left standing of the correctly classified, at most", found.left_standing),
    ]


def _parts(found: EvaluationAnswer | AuditAnswer) -> Table:
    rows = tuple(cells(p.part, p.spec, p.attacked, p.broke, f"{p.seconds:.1f}", head=1) for p in found.parts)
    caption = f"{found.attack}, part by part; each attacks what still stood."
    return Table("parts", caption, ("part", "settings", "attacked", "broke", "seconds"), (rows,))
