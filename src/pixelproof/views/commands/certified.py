"""What `certify` found: for every image a one-pixel attack, a proof that there is none, or what is still open."""

from __future__ import annotations

from pydantic import Field

from pixelproof.results import CertificateRecord
from pixelproof.types import Rate
from pixelproof.views.answer import Answer


class CertifiedImage(Answer):
    """One image; row, column and colour are those of the pixel that fools, null where there is none."""

    image: int = Field(description="Position in the original file.")
    verdict: str = Field(description="'attacked', 'certified' or 'undecided'.")
    row: int | None = Field(description="Of the pixel that fools.")
    column: int | None = Field(description="Of the pixel that fools.")
    colour: tuple[int, ...] | None = Field(description="0..255, one value per channel.")
    open_pixels: int = Field(description="Pixels without a verdict.")
    boxes: int = Field(description="Boxes of colours that were bounded.")
    cpu_seconds: float = Field(description="What its attack and proof cost.")


class CertificateAnswer(Answer):
    """One-pixel certificates of the first test images that a model gets right."""

    n: int = Field(description="Images that the model gets right.")
    offered: int = Field(description="Images looked at to find those that the model gets right.")
    attacked: int = Field(description="Those that one pixel fools.")
    certified: int = Field(description="Those that no single pixel can fool.")
    undecided: int = Field(description="Those without a verdict.")
    robust_accuracy: Rate = Field(description="Right and not attacked, of all images offered: an upper bound.")
    left_standing: Rate = Field(description="The same of the correctly classified.")
    certified_accuracy: Rate = Field(description="Right and proven, of all images offered: a lower bound.")
    proven: Rate = Field(description="The same of the correctly classified.")
    mean_seconds: float = Field(description="CPU time per image.")
    most_seconds: float = Field(description="CPU time of the longest.")
    boxes: int = Field(description="Boxes of colours that were bounded, in all.")
    images: tuple[CertifiedImage, ...] = Field(description="Image by image.")


def certified(record: CertificateRecord) -> CertificateAnswer:
    """A certificate as an answer."""
    proof = record.certificate
    return CertificateAnswer(
        n=len(proof.wrong),
        offered=record.offered,
        attacked=int(proof.attacked.sum()),
        certified=int(proof.certified.sum()),
        undecided=int(proof.undecided.sum()),
        robust_accuracy=record.robust_accuracy,
        left_standing=record.left_standing,
        certified_accuracy=record.certified_accuracy,
        proven=record.proven,
        mean_seconds=float(proof.seconds.mean()),
        most_seconds=float(proof.seconds.max()),
        boxes=int(proof.boxes.sum()),
        images=tuple(_image(record, row) for row in range(len(proof.wrong))),
    )


def _image(record: CertificateRecord, row: int) -> CertifiedImage:
    proof = record.certificate
    attacked = bool(proof.attacked[row])
    y, x = divmod(int(proof.position[row]), proof.open.shape[2])
    return CertifiedImage(
        image=int(record.index[row]),
        verdict="attacked" if attacked else "certified" if proof.certified[row] else "undecided",
        row=y if attacked else None,
        column=x if attacked else None,
        colour=tuple(round(255 * value) for value in proof.colour[row].tolist()) if attacked else None,
        open_pixels=int(proof.open[row].sum()),
        boxes=int(proof.boxes[row]),
        cpu_seconds=round(float(proof.seconds[row]), 2),
    )
