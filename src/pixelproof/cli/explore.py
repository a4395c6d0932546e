"""Commands on the explorer: serve runs, or write a copy that needs no server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pixelproof.cli.interrupts import CODE, Interrupted, leave
from pixelproof.cli.options import DataDir, Quiet
from pixelproof.cli.progress import progress
from pixelproof.cli.refusals import check_data_dir
from pixelproof.cli.screen import err, out

if TYPE_CHECKING:
    from pixelproof.web.library import Library

Folders = Annotated[
    list[Path],
    typer.Argument(
        metavar="RUN...", help="Run folders, of studies or of any --out, or folders that hold such folders."
    ),
]


def explore(
    folders: Folders,
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on; any but 127.0.0.1 asks visitors for a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes any free one.")] = 8477,
    token: Annotated[
        str | None, typer.Option("--token", help="What visitors must know.", envvar="PIXELPROOF_TOKEN")
    ] = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Only print the link.")] = False,
    data_dir: DataDir = None,
    quiet: Quiet = False,
) -> None:
    """Walk through runs in the browser: examples, layers, neighbours, thresholds, maps, robustness, live attacks."""
    from pixelproof.web.serve import Place, serve

    library = _library(folders, data_dir)

    def tell(link: str) -> None:
        out.print(f"explorer: {link}", soft_wrap=True, highlight=False)
        if not quiet:
            err.print("Press Ctrl-C to stop.", style="dim")

    try:
        serve(library, Place(host, port, token), tell=tell, browser=not no_browser)
    except Interrupted:
        if not quiet:
            err.print("the explorer has stopped; the runs are as they were", style="dim")
        leave()
        raise typer.Exit(CODE) from None


def export(
    folders: Folders,
    site: Annotated[Path, typer.Argument(metavar="SITE", help="The folder to write the copy to.")],
    examples: Annotated[int, typer.Option("--examples", min=1, help="How many examples of every run get a page.")] = 50,
    data_dir: DataDir = None,
    quiet: Quiet = False,
) -> None:
    """Write a copy of the explorer that opens without a server: everything but the live page."""
    from pixelproof.web.export import export as write

    with progress(silent=quiet) as tell:
        written = write(
            _library(folders, data_dir), site, examples=examples, tell=lambda done, n: tell("export", done, n, "")
        )
    out.print(f"site: {site / 'index.html'} ({written} answers)", soft_wrap=True, highlight=False)


def _library(folders: list[Path], data_dir: Path | None) -> Library:
    """The runs, after saying which are damaged and left out."""
    from contextlib import nullcontext

    from pixelproof.report import command_page
    from pixelproof.web.library import Library

    library = Library(folders, data_dir, command_page)
    library.command_cards()
    cards = [library.card(name, nullcontext()) for name in library.names()]
    check_data_dir(data_dir, (card.data for card in cards if card is not None))
    for name, why in library.damaged.items():
        err.print(f"left out: {name}: {why}", style="yellow", highlight=False, soft_wrap=True)
    return library
