"""One file from the first mirror that serves it whole: checksummed, resumed where it stopped, renamed when done."""

from __future__ import annotations

import hashlib
import http
import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias
from urllib.parse import urlsplit

from pixelproof.errors import BadInput, DataUnavailable

Progress: TypeAlias = Callable[[int, int], object]
TIMEOUT_SECONDS = 15
CHUNK = 1 << 16


@dataclass(frozen=True)
class RemoteFile:
    """A file that several mirrors serve as `mirror + name`, its size in bytes and its SHA-256."""

    name: str
    size: int
    sha256: str
    mirrors: tuple[str, ...]


def download(file: RemoteFile, folder: Path, progress: Progress | None = None) -> Path:
    """The path of `file` under `folder`, once a mirror has delivered it with the right SHA-256.

    Mirrors are tried in order. What arrived before a broken transfer stays in `NAME.part`, and the next attempt, on
    any mirror or in a later session, goes on from there. `progress(bytes done, bytes in all)` is called as bytes
    arrive. Raises DataUnavailable with each mirror's reason when all fail, BadInput when the folder cannot be written.
    """
    part, target = folder / f"{file.name}.part", folder / file.name
    failures = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        part.touch()
        for mirror in file.mirrors:
            failure = _from_mirror(mirror + file.name, file, part, progress or _silent)
            if not failure:
                os.replace(part, target)
                return target
            failures.append(f"{urlsplit(mirror).hostname}: {failure}")
        if not part.stat().st_size:
            part.unlink()
    except OSError as problem:
        do = "Choose another folder with --data-dir, or make room."
        raise BadInput(str(folder), "expected a writable folder", problem.strerror, do) from problem
    raise DataUnavailable(file.name, "no mirror delivered it", "; ".join(failures))


def sha256(path: Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _from_mirror(url: str, file: RemoteFile, part: Path, progress: Progress) -> str:
    """Fill `part` from one mirror for as long as that makes headway; what went wrong, or nothing.

    Only what the network does wrong is returned; an OSError from the disk is the caller's.
    """
    if part.stat().st_size > file.size:
        part.write_bytes(b"")
    inherited = part.stat().st_size
    while True:
        before = part.stat().st_size
        failure = _transfer(url, file, part, progress) if before < file.size else ""
        size = part.stat().st_size
        if size == file.size:
            if sha256(part) == file.sha256:
                return ""
            part.write_bytes(b"")
            if not inherited:
                return "wrong SHA-256"
            # The wrong bytes may be those that another mirror or session had left.
            inherited = 0
        elif size <= before:
            return failure or f"sent {size:,} of {file.size:,} bytes"


def _transfer(url: str, file: RemoteFile, part: Path, progress: Progress) -> str:
    """One request: append what the server sends to `part`, or start over where it does not serve ranges."""
    start = part.stat().st_size
    headers = {"User-Agent": "pixelproof", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    try:
        reply = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT_SECONDS)
    except urllib.error.HTTPError as problem:
        problem.close()
        return f"HTTP {problem.code} {problem.reason}"
    except (OSError, http.client.HTTPException) as problem:
        return _reason(problem)
    with reply:
        done = start if reply.status == http.HTTPStatus.PARTIAL_CONTENT else 0
        if done and not reply.headers.get("Content-Range", "").startswith(f"bytes {done}-"):
            return "sent another part than the one asked for"
        length = reply.headers.get("Content-Length", "")
        if length and length != str(file.size - done):
            return f"offers {length} bytes instead of {file.size - done}"
        with part.open("ab" if done else "wb") as stream:
            progress(done, file.size)
            while done < file.size:
                try:
                    chunk = reply.read(min(CHUNK, file.size - done))
                except (OSError, http.client.HTTPException) as problem:
                    return _reason(problem)
                if not chunk:
                    break
                stream.write(chunk)
                done += len(chunk)
                progress(done, file.size)
    return ""


def _reason(problem: Exception) -> str:
    """What a network error says, or at least its kind."""
    inner = problem.reason if isinstance(problem, urllib.error.URLError) else problem
    return str(inner).rstrip(".") or type(problem).__name__


def _silent(done: int, total: int) -> None:
    """Nobody is watching."""
