"""Files that are there whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pixelproof.errors import RunError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file to write to beside `path`, which takes its place when the block ends well and vanishes otherwise.

    Raises RunError when the place cannot be written.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        os.replace(part, path)
    except OSError as reason:
        raise RunError(str(path), "must be writable", reason, "Free some space or choose another place.") from reason
    finally:
        with suppress(OSError):
            part.unlink()


def write_whole(path: Path, content: str | bytes) -> None:
    """Write text (UTF-8) or bytes to `path`, whole or not at all."""
    with replacing(path) as part:
        part.write_bytes(content if isinstance(content, bytes) else content.encode())
