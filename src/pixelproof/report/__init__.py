"""A run as a report: one HTML file, its tables as CSV, its figures as SVG and PNG."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from pixelproof import views
from pixelproof.atomic import write_whole
from pixelproof.errors import RunError
from pixelproof.report import tables
from pixelproof.report.about import about
from pixelproof.report.classes import classes, confusions
from pixelproof.report.commands import command_sections
from pixelproof.report.critical import critical
from pixelproof.report.defences import defences
from pixelproof.report.detectors import detectors
from pixelproof.report.examples import examples
from pixelproof.report.html import html
from pixelproof.report.neighbours import neighbours
from pixelproof.report.one_pixel import one_pixel
from pixelproof.report.page import Block, Figure, Fold, ReportSection, TableGrid
from pixelproof.report.paper import paper
from pixelproof.report.paper_one import paper_one
from pixelproof.report.penultimate import penultimate
from pixelproof.report.robustness import robustness
from pixelproof.report.signature_detectors import signature_detectors
from pixelproof.report.signatures import signatures
from pixelproof.report.summary import summary
from pixelproof.report.tables import rows_of, write_csv
from pixelproof.report.training import training
from pixelproof.run import Run
from pixelproof.views import OpenRun
from pixelproof.views.commands import command, is_command

SECTIONS: tuple[Callable[[OpenRun], ReportSection | None], ...] = (
    summary,
    paper_one,
    robustness,
    paper,
    examples,
    signatures,
    critical,
    one_pixel,
    penultimate,
    signature_detectors,
    defences,
    neighbours,
    detectors,
    classes,
    confusions,
    training,
    about,
)
CSV: Mapping[str, Callable[[OpenRun], tables.Rows]] = MappingProxyType(
    {
        "robustness": tables.robustness,
        "one-pixel": tables.one_pixel,
        "worst-case": rows_of(views.robustness, lambda found: found.together),
        "paper": rows_of(views.paper, lambda found: found),
        "clean-classes": rows_of(views.overview, lambda found: found.per_class),
        "classes": rows_of(views.classes, lambda found: found),
        "confusion": tables.confusion,
        "training": tables.training,
        "images": rows_of(views.images, lambda found: found),
        "critical-curves": rows_of(views.critical, lambda found: found.curves),
        "critical-confined": rows_of(views.critical, lambda found: found.confined),
        "drift": rows_of(views.penultimate, lambda found: found.drift),
        "detectors": tables.detectors,
        "adaptive": rows_of(views.signature_detectors, lambda found: found.known),
        "defences": tables.defences,
        "defence-search": rows_of(views.defences, lambda found: found.search),
        "alarm-rule": rows_of(views.neighbours, lambda found: found.alarm_rule),
        "cases": rows_of(views.neighbours, lambda found: found.cases),
        "recovered": rows_of(views.neighbours, lambda found: found.recovered),
        "disagreement": rows_of(views.neighbours, lambda found: found.disagreement),
        "depth": rows_of(views.neighbours, lambda found: found.depth),
        "detector-table": tables.detector_table,
        "natural-errors": rows_of(views.detectors, lambda found: found.natural_errors),
        "detectors-known": tables.detectors_known,
    }
)
NAMED = 4  # results of an unfinished run that an error names


def write(run: Run, folder: str | Path | None = None) -> Path:
    """Write report.html, tables/*.csv, figures/*.svg and figures/*.png; gives the path of report.html.

    The folder of a command (evaluate, audit) gets a short report.html alone. `folder` defaults to the run's own.
    Sections without data are left out. Each file is written whole or not at all,
    report.html last; the same run gives the same bytes. Raises RunError for an unfinished run and a folder that
    cannot be written.
    """
    if not run.complete:
        names = run.names()
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        got = f"only {', '.join(names[:NAMED]) or 'nothing'}{more}"
        raise RunError(str(run.folder), "a report needs a complete run", got, "Run the study to its end first.")
    folder = run.folder if folder is None else Path(folder)
    if is_command(run):
        write_whole(folder / "report.html", command_page(run).encode())
        return folder / "report.html"
    opened = OpenRun(run, run.folder.name)
    sections = [section for make in SECTIONS if (section := make(opened)) is not None]
    files = {f"tables/{name}.csv": text.encode() for name, make in CSV.items() if (text := write_csv(make(opened)))}
    for figure in figures(block for section in sections for block in section.blocks):
        files |= {f"figures/{figure.name}.svg": figure.svg.encode(), f"figures/{figure.name}.png": figure.png}
    files["report.html"] = html(views.overview(opened), sections).encode()
    for name, content in files.items():
        write_whole(folder / name, content)
    return folder / "report.html"


def command_page(run: Run) -> str:
    """The page of a folder that a single command kept; RunError where the command is not finished."""
    if not run.complete:
        raise RunError(str(run.folder), "a report needs a complete run", "an unfinished one", "Repeat its command.")
    answer = command(run)
    return html(answer, command_sections(answer))


def figures(blocks: Iterable[Block]) -> Iterator[Figure]:
    """Every figure among some blocks, also those inside others."""
    for block in blocks:
        if isinstance(block, Figure):
            yield block
        elif isinstance(block, Fold | TableGrid):
            yield from figures(block.blocks)


__all__ = ["CSV", "SECTIONS", "ReportSection", "command_page", "write"]
