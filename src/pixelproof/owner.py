"""One process at a time writes into a folder, and a second one is told who does; nobody is kept from reading.

The owner holds a lock of the system on a small file that also says who it is. The system gives the lock free when the
process ends, however it ends, so that a dead owner keeps nobody waiting.
"""

from __future__ import annotations

import json
import os
import re
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from pixelproof.errors import RunError

NAME = ".owner"
LEFT = re.compile(r"\..+\.(\d+)\.part")  # what atomic.replacing writes to


@dataclass
class Ownership:
    """A folder's lock while it is held; `file` is None where this process holds it already."""

    path: Path
    file: int | None

    def release(self) -> None:
        """Let others write; a second call does nothing."""
        if self.file is not None:
            self.path.unlink(missing_ok=True)
            os.close(self.file)
            self.file = None


def take(folder: Path) -> Ownership:
    """Own a folder until `release`, or the end of the process; OSError where it cannot be written.

    Raises RunError that names the process, its machine and since when, while another one owns it.
    """
    path = folder / NAME
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        if not _locked(file):
            holder = _holder(file)
            os.close(file)
            if holder.startswith(_self()):
                return Ownership(path, None)
            raise RunError(
                str(folder), "is written by another process", holder, "Wait until it ends, or choose another folder."
            )
        try:
            same = os.path.samestat(os.fstat(file), os.stat(path))
        except FileNotFoundError:  # the owner before us took the file away between our two steps
            same = False
        if same:
            break
        os.close(file)
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    os.ftruncate(file, 0)
    os.write(file, json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": since}).encode())
    return Ownership(path, file)


def sweep(folder: Path) -> None:
    """Remove what killed processes left half written in a folder that this process owns."""
    for path in folder.rglob(".*.part"):
        left = LEFT.fullmatch(path.name)
        if left is not None and int(left[1]) != os.getpid():
            path.unlink(missing_ok=True)


def _self() -> str:
    return f"process {os.getpid()} on {socket.gethostname()} since"


def _holder(file: int) -> str:
    """Who wrote a lock file, in words."""
    try:
        said = json.loads(os.pread(file, 1000, 0))
        return f"process {int(said['pid'])} on {str(said['host'])[:100]} since {str(said['since'])[:30]}"
    except (OSError, ValueError, KeyError, TypeError):
        return "one that does not say its name"


def _locked(file: int) -> bool:
    """Whether the lock is ours now; where a file system or system has no locks, everybody owns everything."""
    if sys.platform == "win32":
        return True
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True
