"""Where data sets lie on this machine, and how a missing one gets there."""

from __future__ import annotations

import os
import tarfile
import tempfile
from pathlib import Path

import platformdirs

from pixelproof.data.download import Progress, download, sha256
from pixelproof.data.files import AGAIN
from pixelproof.data.sources import SOURCES, Source
from pixelproof.errors import BadInput, CorruptFile, DataUnavailable, UnknownName


def cache_folder() -> Path:
    """Where downloads and trained weights are kept: PIXELPROOF_CACHE, else the user's cache folder."""
    return Path(os.environ.get("PIXELPROOF_CACHE") or platformdirs.user_cache_dir("pixelproof"))


def find(source: Source, root: str | Path | None) -> Path | None:
    """The first folder that holds all files of the set: under `root`, PIXELPROOF_DATA, then the cache."""
    folders = (place / folder for place in _roots(root) for folder in source.folders)
    return next((folder for folder in folders if all(source.paths(folder, part) for part in source.files)), None)


def fetch(name: str, root: str | Path | None = None, *, progress: Progress | None = None) -> Path:
    """The folder that holds the files of a named set, downloaded unless they are there already.

    Downloads go under `root`; else under PIXELPROOF_DATA where that can be written; else into the cache.
    `progress(bytes done, bytes in all)` counts over all files of the set. Raises UnknownName, BadInput for a folder
    that cannot be written, and DataUnavailable, which says which file to put where, when no mirror delivers.
    """
    if name == "digits":
        raise BadInput("digits", "needs no download", None, "It comes with scikit-learn; just load it.")
    if name not in SOURCES:
        raise UnknownName("data", "data set to fetch", name, SOURCES)
    source = SOURCES[name]
    if found := find(source, root):
        return found
    folder = _download_root(root) / source.folders[0]
    target = folder.parent if source.archive else folder
    before = 0
    for file in source.remote:
        if not (target / file.name).is_file():
            try:
                download(file, target, _counted(progress, before, source) if progress else None)
            except DataUnavailable as problem:
                raise _by_hand(source, target, problem) from problem
        elif source.archive and sha256(target / file.name) != file.sha256:
            raise CorruptFile(str(target / file.name), f"expected the SHA-256 {file.sha256}", "another", AGAIN)
        before += file.size
    if source.archive:
        _unpack(target / source.remote[0].name, source, folder)
    return folder


def _counted(progress: Progress, before: int, source: Source) -> Progress:
    """`progress` of one file as progress of the whole set, of which `before` bytes have arrived."""
    total = sum(file.size for file in source.remote)
    return lambda done, _: progress(before + done, total)


def _roots(root: str | Path | None) -> list[Path]:
    """The data folders in the order in which they are searched."""
    given = [root, os.environ.get("PIXELPROOF_DATA")]
    return [Path(place).expanduser() for place in given if place] + [cache_folder() / "datasets"]


def _download_root(root: str | Path | None) -> Path:
    """The first data folder that may be written to; one that was named in the call is never passed over."""
    places = _roots(root)
    return places[0] if root else next((place for place in places if _writable(place)), places[-1])


def _writable(folder: Path) -> bool:
    existing = next((place for place in (folder, *folder.absolute().parents) if place.exists()), folder)
    return os.access(existing, os.W_OK)


def _by_hand(source: Source, folder: Path, problem: DataUnavailable) -> DataUnavailable:
    """The error for a set that no mirror delivers: what to put where."""
    names = ", ".join(file.name for file in source.remote)
    do = f"Put {names} from {source.remote[0].mirrors[0]} into {folder}."
    return DataUnavailable(source.name, f"not on disk, and {str(problem).rstrip('.')}", None, do)


def _unpack(archive: Path, source: Source, folder: Path) -> None:
    """Move the set's files out of its verified archive into `folder`, each in one step; the archive goes."""
    try:
        with tempfile.TemporaryDirectory(dir=archive.parent, prefix=".unpack-") as place:
            with tarfile.open(archive) as tar:
                tar.extractall(place, filter="data")
            folder.mkdir(parents=True, exist_ok=True)
            for name in (name for part in source.files.values() for name in part):
                os.replace(Path(place) / folder.name / name, folder / name)
        archive.unlink()
    except (tarfile.TarError, FileNotFoundError) as problem:
        expected = f"expected an archive with {folder.name}/"
        raise CorruptFile(str(archive), expected, str(problem).rstrip("."), AGAIN) from problem
    except OSError as problem:
        do = "Choose another folder with --data-dir, or make room."
        raise BadInput(str(folder), "expected a writable folder", problem.strerror, do) from problem
