"""The state of a long proof, kept on disk so that it can be killed and resumed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from torch import Tensor

from pixelproof.atomic import write_whole
from pixelproof.errors import RunError
from pixelproof.prove.bounds import PROVEN

FORMAT = 2  # 1 had bounds that forgot the clean activations; its proofs are not continued


@dataclass(frozen=True)
class Journal:
    """Where a long proof is kept and reported.

    `folder` gets one JSON file per image, replaced atomically after every 32 pixels; a proof with the same model, image
    and label goes on from there. `report(finished, done, pixels)` is called as often with the number of images that
    were finished before and the pixels proven of this one, and once when all are finished.
    """

    folder: Path | None = None
    report: Callable[[int, int, int], None] | None = None


@dataclass
class Proof:
    """The state of one image's proof; what a journal file holds."""

    key: str
    verdict: str = "undecided"
    decided: list[int] = field(default_factory=list)
    open: list[int] = field(default_factory=list)
    position: int = -1
    colour: list[float] = field(default_factory=list)
    boxes: int = 0
    seconds: float = 0.0
    corner_margin: float = float("inf")


def identity(digest: str, image: Tensor, label: int) -> str:
    """What a proof is about: the model, the image, the label and the margin asked for."""
    pixels = hashlib.sha256(image.contiguous().numpy().tobytes()).hexdigest()[:16]
    return f"{FORMAT}-{digest}-{pixels}-{label}-{PROVEN:g}"


def _path(folder: Path, number: int) -> Path:
    return folder / f"image-{number:05d}.json"


def resumed(key: str, number: int, journal: Journal) -> Proof:
    """The proof so far, from the journal if there is one."""
    path = None if journal.folder is None else _path(Path(journal.folder), number)
    if path is None or not path.exists():
        return Proof(key)
    try:
        proof = Proof(**json.loads(path.read_text()))
    except (ValueError, TypeError) as reason:
        raise RunError("certify_one_pixel", f"{path} must hold a proof", reason, "Delete the file.") from reason
    if proof.key != key:
        raise RunError(
            "certify_one_pixel", f"{path} must belong to this model and image", proof.key, "Use another folder."
        )
    return proof


def kept(proof: Proof, number: int, journal: Journal) -> Proof:
    """The proof, after saving it atomically."""
    if journal.folder is not None:
        write_whole(_path(Path(journal.folder), number), json.dumps(asdict(proof)))
    return proof
