"""The state of a long proof, kept on disk so that it can be killed and resumed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from torch import Tensor

from pixelproof.atomic import plain, write_whole
from pixelproof.attacks.pixel.ops import GraphStep
from pixelproof.errors import RunError
from pixelproof.prove.bounds import PROVEN
from pixelproof.prove.cover import FLATTEST, MOST_BOXES

FORMAT = 3  # proofs of an older one are done again: 1 forgot the clean activations, 2 knew a model by its weights alone


@dataclass(frozen=True)
class Journal:
    """Where a long proof is kept and reported.

    `folder` gets one JSON file per image, replaced atomically after every 32 pixels; a proof about the same network,
    image and label goes on from there. `report(finished, done, pixels)` is called as often with the number of images
    that were finished before and the pixels proven of this one, and once when all are finished.
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


def identity(digest: str, steps: Sequence[GraphStep], image: Tensor, label: int) -> str:
    """What a proof is about: the model, the operations that the bounds go through, the image, the label, the settings.

    The operations belong to it beside the model's digest, since a proof is about what was read and nothing else.
    """
    hashed = hashlib.sha256(f"{PROVEN:g} {FLATTEST:g} {MOST_BOXES} {label} {tuple(image.shape)}".encode())
    hashed.update(image.contiguous().numpy().tobytes())
    for step in steps:
        hashed.update(f"{type(step.op).__name__} {step.inputs}".encode())
        for part in fields(step.op):
            value = getattr(step.op, part.name)
            hashed.update(f"{part.name} {tuple(value.shape) if isinstance(value, Tensor) else value}".encode())
            if isinstance(value, Tensor):
                hashed.update(value.detach().cpu().contiguous().numpy().tobytes())
    return f"{FORMAT}-{digest}-{hashed.hexdigest()[:32]}"


def _path(folder: Path, number: int) -> Path:
    return folder / f"image-{number:05d}.json"


def _check(content: dict[str, object]) -> str:
    """A checksum: a proof in which one bit has flipped would be a proof of something else."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def resumed(key: str, number: int, journal: Journal) -> Proof:
    """The proof so far, from the journal if there is one by today's rules."""
    path = None if journal.folder is None else _path(Path(journal.folder), number)
    if path is None or not path.exists():
        return Proof(key)
    try:
        content = json.loads(plain(path).read_text())
        if str(content["key"]).partition("-")[0] != str(FORMAT):
            return Proof(key)
        if content.pop("check") != _check(content):
            raise ValueError("a checksum that its content does not have")
        proof = Proof(**content)
    except (ValueError, TypeError, LookupError, OSError) as reason:
        do = "Delete the file; it is proven again."
        raise RunError("certify_one_pixel", f"{path} must hold a proof", reason, do) from reason
    if proof.key != key:
        expected = f"{path} must belong to this model, image and label"
        raise RunError("certify_one_pixel", expected, "one of others", "Use another folder.")
    return proof


def kept(proof: Proof, number: int, journal: Journal) -> Proof:
    """The proof, after saving it atomically; RunError where the folder cannot be written."""
    if journal.folder is not None:
        content = asdict(proof)
        write_whole(_path(Path(journal.folder), number), json.dumps({**content, "check": _check(content)}))
    return proof
