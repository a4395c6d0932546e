"""The entry point: commands, one line for every error, and exit codes.

0 done, 1 failed, 2 bad input or usage, 3 a result that the command was told to fail on, 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated, NoReturn

import typer

from pixelproof import __version__
from pixelproof.cli import (
    attack,
    audit,
    certify,
    compare,
    components,
    data,
    defend,
    detect,
    evaluate,
    explore,
    interrupts,
    report,
    studies,
    train,
)
from pixelproof.cli.screen import err
from pixelproof.errors import BadInput, PixelproofError

app = typer.Typer(
    name="pixelproof",
    help="How is an image classifier fooled, why, can we notice, can we resist: with evidence.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
app.command("demo")(studies.demo)
app.command("run")(studies.run)
app.command("report")(report.report)
app.command("explore")(explore.explore)
app.command("export")(explore.export)
app.command("attack")(attack.attack)
app.command("certify")(certify.certify)
app.command("evaluate")(evaluate.evaluate)
app.command("detect")(detect.detect)
app.command("audit")(audit.audit)
app.command("compare")(compare.compare)
app.command("train")(train.train)
app.command("defend")(defend.defend)
app.command("list")(components.components)
app.add_typer(data.app, name="data")
for each in (*app.registered_commands, *data.app.registered_commands):
    each.epilog = "--debug, with any command: show the traceback of an error."


def _version(wanted: bool | None) -> None:
    if wanted:
        print(f"pixelproof {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool | None, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = None,
) -> None:
    """How is an image classifier fooled, why, can we notice, can we resist: with evidence.

    Every command takes `--debug` to show the traceback of an error.
    """


def main() -> None:
    """Run the command line; errors are one line each unless --debug is given."""
    interrupts.watch()
    # Threads that wait must sleep, not spin: on a busy machine spinning made small networks eight times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    debug = "--debug" in sys.argv
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    try:
        app(args=arguments, prog_name="pixelproof")
    except interrupts.Interrupted:
        _interrupted()
    except PixelproofError as error:
        if debug:
            raise
        _error(str(error))
        sys.exit(2 if isinstance(error, BadInput) else 1)
    except Exception as error:
        if interrupts.came():
            _interrupted()
        if debug:
            raise
        what = f"{type(error).__name__}: {error}"[:300]
        _error(f"unexpected {what}. Run again with --debug for the traceback.")
        sys.exit(1)


def _error(text: str) -> None:
    """One line, whatever names are in it."""
    err.print(f"error: {' '.join(text.split())}", style="red", highlight=False, soft_wrap=True)


def _interrupted() -> NoReturn:
    err.print(
        "interrupted: the results a study has finished are kept, and the same command continues it", style="yellow"
    )
    sys.exit(interrupts.CODE)
