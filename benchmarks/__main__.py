"""Every benchmark of this folder, one after the other, each in a process of its own: python -m benchmarks [--full]."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def names() -> list[str]:
    """The modules beside this one that can be run by themselves."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return [path.stem for path in files if path.stem[0] != "_" and "\ndef main(" in path.read_text()]


def main(argv: list[str]) -> int:
    """Run them all, pass `argv` on, and say at the end which failed."""
    failed = []
    for name in names():
        print(f"== {name}", file=sys.stderr, flush=True)
        if subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *argv], check=False).returncode:
            failed.append(name)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return int(bool(failed))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
