"""Write what is expected of the committed runs: PYTHONPATH=tests python -m golden.freeze

For changes that are meant: the difference in tests/golden/expected/ then shows what they change.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from golden.asking import of_report, of_server
from golden.plain import write

HERE = Path(__file__).parent
TOP = HERE.parents[1]  # the runs name their data by a path from here
RUNS = ("whole", "hardened")
MOST = 12  # plain values that a list may have before it is summed up


def folder(run: str) -> Path:
    """Where a committed run lies."""
    return HERE / "runs" / run


def expected(name: str) -> Path:
    """The file of what is expected."""
    return HERE / "expected" / f"{name}.json"


def said(run: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Everything that is said of a committed run without a server, by the name of its file."""
    with tempfile.TemporaryDirectory() as out:
        tables, text = of_report(folder(run), MOST, Path(out))
    yield f"{run}-tables", tables
    yield f"{run}-report", text


def by_run(answers: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The server's answers, divided so that no file grows large: per run, and the pages of examples apart."""
    parts: dict[str, dict[str, Any]] = {}
    for address, answer in answers.items():
        run = next((run for run in RUNS if address.startswith(f"runs/{run}")), "server")
        kind = "examples" if "/examples/" in address else "answers"
        parts.setdefault(f"{run}-{kind}", {})[address] = answer
    return parts


def main() -> None:
    """Write every file."""
    os.chdir(TOP)
    found = dict(entry for run in RUNS for entry in said(run))
    found |= by_run(of_server([folder(run) for run in RUNS], MOST))
    for name, value in found.items():
        write(expected(name), value)
        print(f"{expected(name).stat().st_size:8d} {name}")


if __name__ == "__main__":
    main()
