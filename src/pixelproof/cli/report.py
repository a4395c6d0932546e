"""report: a run folder, of a study or of another command, as a page, tables and a summary."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pixelproof.cli.options import AsJson, Quiet
from pixelproof.cli.screen import emit, out, percent, table
from pixelproof.errors import PixelproofError, RunError

if TYPE_CHECKING:
    from pixelproof.run import Run
    from pixelproof.types import Rate
    from pixelproof.views.robustness import RobustnessRow


def report(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="A folder of 'pixelproof run' or of any --out.")],
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Write report.html, its tables as CSV and its figures as PNG and SVG again from a run folder."""
    from pixelproof.run import Run
    from pixelproof.views.commands import is_command

    opened = Run.open(run_folder)
    if is_command(opened):
        _show_command(opened, quiet, as_json)
    else:
        show(opened, quiet, as_json)


def _show_command(run: Run, quiet: bool, as_json: bool) -> None:
    """The report of a folder that another command kept."""
    from pixelproof import report
    from pixelproof.views.commands import command

    path, found = report.write(run), command(run)
    if as_json:
        emit({"answer": found.found, "report": str(path)})
        return
    if not quiet:
        out.print(found.title, style="bold", markup=False, highlight=False)
    out.print(found.about, markup=False, highlight=False)
    out.print(f"report: {path}", soft_wrap=True, highlight=False)


def show(run: Run, quiet: bool, as_json: bool) -> None:
    """Write the report and print the summary."""
    from pixelproof import report, views
    from pixelproof.specs import budget
    from pixelproof.views.answer import held

    try:
        path = report.write(run)
        opened = views.OpenRun(run, run.folder.name)
        facts, found = views.overview(opened), held(lambda: views.robustness(opened))
    except (KeyError, IndexError, TypeError, ValueError, RuntimeError) as reason:
        if isinstance(reason, PixelproofError):
            raise
        do = "Run its study again: what is missing is made anew."
        raise RunError(str(run.folder), "its results must be whole and of one study", repr(reason), do) from reason
    rows = () if found is None else found.rows
    if as_json:
        emit({"overview": facts, "robustness": rows, "paper": views.paper(opened), "report": str(path)})
        return
    if not quiet:
        out.print(facts.title, style="bold", highlight=False)
    clean = facts.clean_accuracy
    out.print(f"clean accuracy {percent(clean)}, n={clean.n}, seed {facts.seed}")
    if rows:
        for norm in dict.fromkeys(row.norm for row in rows):  # 0.1 in one norm is not 0.1 in another
            own = [row for row in rows if row.norm == norm]
            budgets = sorted({row.eps for row in own}, key=lambda eps: (eps is None, eps))
            heads = ["attack", *("no budget" if eps is None else budget(eps) for eps in budgets)]
            title = f"Robust accuracy, of all {clean.n} images, by {norm} eps (upper bounds)"
            table(title, heads, _grid(own, budgets, lambda row: row.robust_accuracy))
            title = f"Left standing, of the {own[0].n} correctly classified images, by {norm} eps (upper bounds)"
            table(title, heads, _grid(own, budgets, lambda row: row.left_standing))
    out.print(f"report: {path}", soft_wrap=True, highlight=False)


def _grid(
    rows: Sequence[RobustnessRow], budgets: Sequence[float | None], share: Callable[[RobustnessRow], Rate]
) -> list[list[str]]:
    """One line per attack, one cell per budget."""
    cells = {(row.attack, row.eps): f"{100 * float(share(row)):.1f} %" for row in rows}
    names = dict.fromkeys(row.attack for row in rows)
    return [[name, *(cells.get((name, eps), "-") for eps in budgets)] for name in names]
