"""Files that are there whole or not at all, and that end."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path

from pixelproof.errors import RunError

STALE = 60.0  # seconds without a write


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file to write to beside `path`, which takes its place when the block ends well and vanishes otherwise.

    Raises RunError when the place cannot be written.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _tidy(path)
        yield part
        os.replace(part, path)
    except OSError as reason:
        raise RunError(str(path), "must be writable", reason, "Free some space or choose another place.") from reason
    finally:
        with suppress(OSError):
            part.unlink()


def _tidy(path: Path) -> None:
    """Remove what processes that died on this machine while writing `path` left behind."""
    for left in path.parent.glob(f".{escape(path.name)}.*.part"):
        pid = left.name.removesuffix(".part").rpartition(".")[2]
        old = time.time() - left.stat().st_mtime > STALE  # a folder may be shared with machines of other processes
        if pid.isdigit() and old and not _alive(int(pid)):
            left.unlink(missing_ok=True)


def _alive(pid: int) -> bool:
    if sys.platform == "win32":
        return True  # asking would end the process
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def plain(path: Path) -> Path:
    """The path itself; OSError where a pipe or a device lies there, whose reading may never end."""
    if path.exists() and not path.is_file() and not path.is_dir():
        raise OSError("a pipe or a device, not a file")
    return path


def write_whole(path: Path, content: str | bytes) -> None:
    """Write text (UTF-8) or bytes to `path`, whole or not at all."""
    with replacing(path) as part:
        part.write_bytes(content if isinstance(content, bytes) else content.encode())
