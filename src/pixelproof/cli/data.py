"""Commands on data sets: fetch, show."""

from __future__ import annotations

from typing import Annotated

import typer

from pixelproof.cli.options import AsJson, DataDir, Quiet
from pixelproof.cli.progress import progress
from pixelproof.cli.refusals import check_data_dir
from pixelproof.cli.screen import emit, out

app = typer.Typer(help="Fetch and inspect data sets.", no_args_is_help=True)


@app.command("fetch")
def fetch(
    name: Annotated[str, typer.Argument(help="mnist, fashion-mnist or cifar10.")],
    data_dir: DataDir = None,
    quiet: Quiet = False,
) -> None:
    """Download a named data set, checked by SHA-256; a broken download goes on where it stopped."""
    from pixelproof import data

    with progress(silent=quiet, download=True) as tell:
        folder = data.fetch(name, data_dir, progress=lambda done, total: tell(f"fetch {name}", done, total, ""))
    out.print(f"{name}: {folder}", soft_wrap=True)


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(help="A named set or a path.")],
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Say what is in a data set: splits, sizes, classes."""
    from pixelproof import data

    splits = {split: data.load(name, split, data_dir) for split in ("train", "val", "test")}
    check_data_dir(data_dir, (name,))
    facts = {
        split: {"n": len(part), "shape": part.shape, "classes": part.class_counts()} for split, part in splits.items()
    }
    if as_json:
        emit(facts)
        return
    for part in splits.values():
        out.print(part)
        out.print(part.class_counts())
