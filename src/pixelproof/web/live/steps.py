"""How a running attack stands, step by step."""

from __future__ import annotations

from pydantic import Field

from pixelproof.views.answer import Answer
from pixelproof.views.explorer.example import Output


class JobStep(Answer):
    """How a running attack stands. Step 0 is the image itself; the last one has `done`; `error` says why it failed.

    `margin` is the true class's logit minus the highest other (negative: fooled), or the way still to go to the target.
    One-pixel attacks give `lowest`: per pixel the lowest margin seen so far, null where nothing was tried yet.
    """

    step: int
    total: int | None = None
    done: bool = False
    cancelled: bool = False
    success: bool = False
    success_8bit: bool | None = Field(default=None, description="Judged at the end only.")
    margin: float | None = None
    output: Output | None = None
    pixels: str | None = Field(default=None, description="The image now, base64 float32 as in Ask.")
    distance: dict[str, float] | None = None
    lowest: tuple[float | None, ...] | None = None
    proven: str | None = Field(default=None, description="What the search proves, when it tried everything.")
    seconds: float
    error: str | None = None
