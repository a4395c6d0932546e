"""The folder of a command's --out: a run that `report` and `explore` open like any other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pixelproof.cli.progress import Tell

if TYPE_CHECKING:
    from pixelproof.run import Run


@contextmanager
def kept(folder: Path | None, spec: Mapping[str, object], tell: Tell) -> Iterator[Run | None]:
    """The run in a folder, begun or taken up where its spec is the same; None without a folder.

    Of a command that fails before anything is kept no folder is left.
    """
    if folder is None:
        yield None
        return
    from pixelproof.run import Run

    run = Run.create(folder, spec)
    for name, why in run.damaged.items():
        tell(f"{name} is damaged and made again", 1, 1, why)
    try:
        yield run
    except BaseException:
        run.withdraw()
        raise
    run.release()
