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

    step: int = Field(description="Forward passes or pixels tried so far, as LiveAttack.stepwise says.")
    total: int | None = Field(default=None, description="Steps there will be; null where nobody knows.")
    done: bool = Field(default=False, description="This is the last step.")
    cancelled: bool = Field(default=False, description="It ended because it was told to.")
    success: bool = Field(default=False, description="The image of this step reaches the goal.")
    success_8bit: bool | None = Field(default=None, description="Judged at the end only.")
    margin: float | None = Field(default=None, description="In logits.")
    output: Output | None = Field(
        default=None, description="What the classifier says of the image; null where the step has none."
    )
    pixels: str | None = Field(default=None, description="The image now, base64 float32 as in Ask.")
    distance: dict[str, float] | None = Field(default=None, description="Of the image from the first one, by norm.")
    lowest: tuple[float | None, ...] | None = Field(default=None, description="One per pixel, row by row.")
    proven: str | None = Field(default=None, description="What the search proves, when it tried everything.")
    seconds: float = Field(description="Since the attack began.")
    error: str | None = Field(default=None, description="Why it failed, in one sentence.")
