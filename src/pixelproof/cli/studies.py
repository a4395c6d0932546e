"""Commands on studies and runs: demo, run, report."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pixelproof.cli.explore import explore
from pixelproof.cli.options import AsJson, DataDir, Device, Quiet
from pixelproof.cli.screen import emit, err, out, percent, progress, table
from pixelproof.errors import PixelproofError, RunError

if TYPE_CHECKING:
    from pixelproof.run import Run
    from pixelproof.study import Study
    from pixelproof.views.robustness import RobustnessRow

Out = Annotated[Path | None, typer.Option("--out", help="Run folder (default: runs/STUDY).")]


def demo(
    out_folder: Out = None,
    device: Device = "auto",
    serve: Annotated[
        bool | None,
        typer.Option("--serve/--no-serve", help="End by serving the explorer (default: at a terminal, and not in CI)."),
    ] = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Train a small network on real digits, attack it, report, and open the explorer on the result: about a minute."""
    from pixelproof import study

    wanted = study.load("digits")
    _conduct(wanted, out_folder, None, device, quiet, as_json)
    folder = out_folder or Path("runs") / wanted.name
    if serve is None:
        serve = sys.stdout.isatty() and not os.environ.get("CI") and not as_json and not quiet
    if serve:
        explore([folder], no_browser=True)
    elif not as_json:
        out.print(f"explorer: pixelproof explore {folder}", soft_wrap=True, highlight=False)


def run(
    study_file: Annotated[str, typer.Argument(metavar="STUDY", help="A TOML file, or the name of a bundled study.")],
    out_folder: Out = None,
    data_dir: DataDir = None,
    device: Device = "auto",
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Run a study: train, attack, measure, write the report. Interrupted, the same command continues where it was."""
    from pixelproof import study

    _conduct(study.load(study_file), out_folder, data_dir, device, quiet, as_json)


def report(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="A folder that 'pixelproof run' wrote.")],
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Write report.html, its tables as CSV and its figures as PNG and SVG again from a run folder."""
    from pixelproof.run import Run

    _show(Run.open(run_folder), quiet, as_json)


def _conduct(
    wanted: Study, folder: Path | None, data_dir: Path | None, device: str, quiet: bool, as_json: bool
) -> None:
    from pixelproof import study

    started = time.perf_counter()
    folder = folder or Path("runs") / wanted.name
    with progress(silent=quiet or as_json) as tell:
        done = study.conduct(
            wanted,
            folder,
            root=data_dir,
            device=device,
            listener=lambda event: tell(event.stage, event.done, event.total, event.note),
        )
    _show(done, quiet, as_json)
    if not quiet and not as_json:
        err.print(f"{time.perf_counter() - started:.0f} s in all", style="dim")


def _show(run: Run, quiet: bool, as_json: bool) -> None:
    """Write the report and print the summary."""
    from pixelproof import report, views
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
        budgets = sorted({row.eps for row in rows}, key=lambda eps: (eps is None, eps))
        title = f"Robust accuracy on the {rows[0].n} correctly classified images, by eps (upper bounds)"
        table(
            title, ["attack", *("no budget" if eps is None else f"{eps:.4g}" for eps in budgets)], _grid(rows, budgets)
        )
    out.print(f"report: {path}", soft_wrap=True, highlight=False)


def _grid(rows: Sequence[RobustnessRow], budgets: Sequence[float | None]) -> list[list[str]]:
    """One line per attack, one cell per budget."""
    cells = {(row.attack, row.eps): f"{100 * float(row.robust_accuracy):.1f} %" for row in rows}
    names = dict.fromkeys(row.attack for row in rows)
    return [[name, *(cells.get((name, eps), "-") for eps in budgets)] for name in names]
