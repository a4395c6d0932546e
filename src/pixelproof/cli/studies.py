"""Commands on studies and runs: demo, run."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pixelproof.cli.explore import explore
from pixelproof.cli.options import AsJson, DataDir, Device, Quiet
from pixelproof.cli.progress import progress
from pixelproof.cli.refusals import check_data_dir
from pixelproof.cli.report import show
from pixelproof.cli.screen import err, out

if TYPE_CHECKING:
    from pixelproof.study import Study

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

    wanted = study.load(study_file)
    check_data_dir(data_dir, (wanted.data.name,))
    _conduct(wanted, out_folder, data_dir, device, quiet, as_json)


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
    show(done, quiet, as_json)
    if not quiet and not as_json:
        err.print(f"{time.perf_counter() - started:.0f} s in all", style="dim")
