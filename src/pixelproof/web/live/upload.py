"""Uploads: a picture file made to fit the classifier, decoded with every limit there is, never stored."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, ImageOps, UnidentifiedImageError
from pydantic import Field
from torch import Tensor

from pixelproof.errors import BadInput
from pixelproof.views.answer import Answer
from pixelproof.web.live.images import Shape

BYTES = 10 * 2**20
AT_ONCE = 8
PIXELS = 24_000_000
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP")
RULE = "turned upright, its largest centred square (in the classifier's proportions) cut out and resized with averaging"
DEEP = {"I;16": 65535.0, "I;16B": 65535.0, "I;16L": 65535.0, "I;16N": 65535.0, "I": 65535.0}


class TooLarge(BadInput):
    """A file with more bytes or pixels than are accepted."""


class TooMany(BadInput):
    """More files at once than there is memory for."""


class Arriving:
    """How many files are on their way or being decoded: together they may fill AT_ONCE times the largest file."""

    def __init__(self) -> None:
        self._places = threading.Semaphore(AT_ONCE)

    @contextmanager
    def place(self) -> Iterator[None]:
        """Room for one file; TooMany when there is none."""
        if not self._places.acquire(blocking=False):
            raise TooMany("upload", f"at most {AT_ONCE} files at once", "one more", "Try again in a moment.")
        try:
            yield
        finally:
            self._places.release()


class WrongType(BadInput):
    """A file that is none of the accepted formats."""


class Uploaded(Answer):
    """An uploaded image, made to fit the classifier. It is not kept: the browser holds it from now on."""

    pixels: str = Field(description="The image, as in Ask.")
    was: tuple[int, int] = Field(description="Width and height before.")
    format: str = Field(description="Of the file, one of LivePage.formats.")
    rule: str = Field(description="What was done to it, in words.")
    notes: tuple[str, ...] = Field(description="What was changed beyond the rule, one sentence each.")


@dataclass(frozen=True, eq=False)
class FittedPicture:
    """An uploaded picture as an image (c, h, w) in [0, 1], with its size and format before, and what to know."""

    image: Float[Tensor, "c h w"]
    was: tuple[int, int]
    format: str
    notes: tuple[str, ...]


def picture(content: bytes, shape: Shape) -> FittedPicture:
    """A picture file's first frame, fitted to `shape` by RULE.

    Raises TooLarge, WrongType, and BadInput for a damaged file or a classifier of other than one or three channels.
    """
    channels, height, width = shape
    if channels not in (1, 3):
        raise BadInput("upload", "pictures fit classifiers of one or three channels", f"{channels} channels")
    if len(content) > BYTES:
        raise TooLarge("upload", f"a file may have at most {BYTES // 2**20} MiB", f"{len(content)} bytes")
    found, was, kind, notes = _decoded(content)
    fitted = ImageOps.fit(found, (width, height), method=Image.Resampling.BOX)
    values = np.asarray(fitted.convert("L" if channels == 1 else "RGB"), dtype=np.float32) / 255
    image = torch.from_numpy(values[None] if channels == 1 else values.transpose(2, 0, 1).copy()).clamp(0, 1)
    if channels == 1 and found.mode != "L":
        notes.append("Colours were turned into grey by their luminance.")
    return FittedPicture(image, was, kind, tuple(notes))


def _decoded(content: bytes) -> tuple[Image.Image, tuple[int, int], str, list[str]]:
    """The first frame as an upright 8-bit grey or colour picture."""
    try:
        opened = Image.open(io.BytesIO(content), formats=FORMATS)
    except UnidentifiedImageError as reason:
        raise WrongType("upload", f"expected a picture ({', '.join(FORMATS)})", "something else") from reason
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as reason:
        raise TooLarge("upload", f"a picture may have at most {PIXELS:,} pixels", "far more") from reason
    except Exception as reason:
        raise _damaged(reason) from reason
    was = opened.size
    if was[0] * was[1] > PIXELS:
        raise TooLarge("upload", f"a picture may have at most {PIXELS:,} pixels", f"{was[0]} x {was[1]}")
    notes = ["Only the first frame is used."] if getattr(opened, "is_animated", False) else []
    try:
        opened.load()
        upright = ImageOps.exif_transpose(opened)
        return _plain(upright, notes), was, opened.format or "", notes
    except Exception as reason:
        raise _damaged(reason) from reason


def _damaged(reason: Exception) -> BadInput:
    """The refusal of damaged bytes, on which a decoder may raise anything: IndexError, struct.error, MemoryError."""
    return BadInput("upload", "the picture must be whole", reason, "Save it again.")


def _plain(found: Image.Image, notes: list[str]) -> Image.Image:
    """Grey or colour with 8 bits: 16 bits are scaled, palettes looked up, transparency laid over white."""
    if found.mode in DEEP:
        notes.append("16-bit values were scaled to 8 bits.")
        levels = np.asarray(found, dtype=np.float32) / DEEP[found.mode] * 255
        return Image.fromarray(levels.clip(0, 255).round().astype("uint8"))
    if found.mode in ("LA", "PA", "RGBA", "RGBa", "La") or "transparency" in found.info:
        notes.append("Transparent parts lie over white.")
        layered = found.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layered.size, "white"), layered).convert("RGB")
    return found.convert("L" if found.mode in ("1", "L") else "RGB")
