"""The report of a folder that `evaluate` or `audit` wrote: bound, verdict, parts, flags, settings."""

from __future__ import annotations

from pixelproof.report.page import Block, Headline, Prose, ReportSection, Table, bounds, cells, count, percent
from pixelproof.views.commands import CommandAnswer


def command_sections(found: CommandAnswer) -> tuple[ReportSection, ...]:
    """What was found first, then what speaks against it, then what was asked for and with which versions."""
    figures = (
        ("clean accuracy", found.clean_accuracy),
        ("robust accuracy, at most", found.robust_accuracy),
        ("left standing of the correctly classified, at most", found.left_standing),
    )
    headline = Headline(
        tuple(
            (percent(rate.value if rate.n else None), f"{bounds(rate)}, {count(rate.n)}", name)
            for name, rate in figures
        )
    )
    blocks: list[Block] = [headline]
    if found.believable is None:
        said = "A bound alone does not say whether it can be believed: 'pixelproof audit' asks that."
        blocks.append(Prose(said))
    elif not found.believable:
        blocks.append(Prose(found.about, alert=True))
    blocks += [Prose(text, alert=True) for text in found.warnings]
    rows = tuple(cells(p.part, p.spec, p.attacked, p.broke, f"{p.seconds:.1f}", head=1) for p in found.parts)
    caption = f"{found.attack}, part by part; each attacks what still stood."
    blocks.append(Table("parts", caption, ("part", "settings", "attacked", "broke", "seconds"), (rows,)))
    sections = [ReportSection("bound", "How much is left standing", tuple(blocks))]
    if found.flags:
        rows = tuple(cells(f.flag, f.status, "yes" if f.blocks else "no", f.found, head=1) for f in found.flags)
        columns = ("red flag", "result", "blocks", "what was seen")
        flags = Table("flags", "What could make the bound a look-alike.", columns, (rows,), words=True)
        sections.append(ReportSection("flags", "What speaks against it", (flags,)))
    versions = ", ".join(f"{name} {version}" for name, version in found.facts.versions.items())
    asked = {**found.spec, "versions": versions, "revision": found.facts.revision, "machine": found.facts.machine}
    rows = tuple(cells(name, "–" if value is None else value, head=1) for name, value in asked.items())
    settings = Table("settings", "What was asked for, and where.", ("setting", "value"), (rows,))
    return (*sections, ReportSection("about", "Where these numbers come from", (settings,)))
