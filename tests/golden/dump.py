"""All that is said of a run, to be compared between two builds: PYTHONPATH=tests python -m golden.dump RUN OUT

PYTHONPATH=tests python -m golden.dump --compare OUT OUT  names what differs between two such folders.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from golden.asking import of_report, of_server
from golden.differences import differences, tolerance
from golden.plain import write

MOST = 400  # plain values that a list may have before it is summed up


def dump(run: Path, out: Path) -> None:
    """Write tables, report and answers of a run, one file each."""
    with tempfile.TemporaryDirectory() as place:
        tables, text = of_report(run, MOST, Path(place))
    found = {"tables": tables, "report": text}
    for name, value in (found | {"answers": of_server([run], MOST)}).items():
        write(out / f"{name}.json", value)


def compare(before: Path, after: Path) -> list[str]:
    """Where two dumps differ, one line each."""
    lines = []
    for path in sorted(before.glob("*.json")):
        old, new = (json.loads((folder / path.name).read_text()) for folder in (before, after))
        for name in sorted({*old, *new}):
            if name not in new or name not in old:
                lines.append(f"{path.stem}: {name}: only {'before' if name in old else 'after'}")
            else:
                lines += differences(old[name], new[name], f"{path.stem}: {name}", tolerance(name))
    return lines


if __name__ == "__main__":
    if sys.argv[1] == "--compare":
        found = compare(*map(Path, sys.argv[2:4]))
        print("\n".join(found) or "no difference")
        sys.exit(bool(found))
    dump(*(Path(given).resolve() for given in sys.argv[1:3]))
