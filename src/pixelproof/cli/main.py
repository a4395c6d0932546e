"""The entry point: commands, one line for every error, and exit codes.

0 done, 1 failed, 2 bad input or usage, 130 interrupted.
"""

from __future__ import annotations

import sys

import click
import typer

from pixelproof import __version__
from pixelproof.cli import data, single, studies
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
app.command("report")(studies.report)
app.command("attack")(single.attack)
app.command("train")(single.train)
app.command("list")(single.components)
app.add_typer(data.app, name="data")


def _version(wanted: bool) -> None:
    if wanted:
        print(f"pixelproof {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    """How is an image classifier fooled, why, can we notice, can we resist: with evidence.

    Every command takes `--debug` to show the traceback of an error.
    """


def main() -> None:
    """Run the command line; errors are one line each unless --debug is given."""
    debug = "--debug" in sys.argv
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    try:
        sys.exit(app(args=arguments, prog_name="pixelproof", standalone_mode=False))
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        err.print("interrupted: what was finished is kept; run the same command again to continue", style="yellow")
        sys.exit(130)
    except PixelproofError as error:
        if debug:
            raise
        err.print(f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(2 if isinstance(error, BadInput) else 1)
