"""The command line: parse, call, print. Heavy modules are imported inside the commands, so --help is instant."""

from pixelproof.cli.main import main

__all__ = ["main"]
