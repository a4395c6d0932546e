"""The live page: judge an image that the reader made, and attack it step by step."""

from __future__ import annotations

from pydantic import Field

from pixelproof.views.explorer.decisions import Decision
from pixelproof.web.contract.common import Answer, Missing
from pixelproof.web.contract.examples import Output

SESSION = Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")


class Ask(Answer):
    """An image to judge: little-endian float32 values in [0, 1], (c, h, w), as base64.

    Within a `session` (a name the browser draws) the highest `sequence` wins: older questions get 409.
    """

    session: str = SESSION
    sequence: int = Field(ge=0)
    pixels: str
    neighbours: int = Field(default=12, ge=0, le=100, description="How many to list per layer.")


class LiveNeighbours(Answer):
    """The nearest training images in one layer."""

    layer: str
    index: tuple[int, ...]
    label: tuple[int, ...]
    distance: tuple[float, ...]


class LiveLayer(Answer):
    """One judged layer's decision."""

    name: str
    decision: Decision


class Judged(Answer):
    """The classifier's output, every judged layer's decision, and how unlike the training data the image is."""

    sequence: int
    output: Output
    layers: tuple[LiveLayer, ...]
    neighbours: tuple[LiveNeighbours, ...]
    guard: Missing | None
    unlike: str | None = Field(description="A warning when the image is farther from the training images than usual.")
    milliseconds: float


class Mount(Answer):
    """An attack to run on an image, by its spec, for example 'pgd:eps=0.1,steps=20' or 'one-pixel'.

    `label` is the true class, `target` a class to reach. A new attack in the same session cancels the one before.
    """

    session: str = SESSION
    pixels: str
    label: int = Field(ge=0, lt=2**31)
    target: int | None = Field(default=None, ge=0, lt=2**31)
    attack: str = Field(min_length=1, max_length=200)
    seed: int = Field(default=0, ge=0, lt=2**63)


class Job(Answer):
    """A running attack: GET its `events` (server-sent events, each a Step), DELETE it to cancel."""

    job: str
    events: str


class Step(Answer):
    """How a running attack stands. Step 0 is the image itself; the last one has `done`; `error` says why it failed.

    `margin` is the true class's logit minus the highest other (negative: fooled), or the way still to go to the target.
    One-pixel attacks give `lowest`: per pixel the lowest margin seen so far, null where nothing was tried yet.
    """

    step: int
    total: int | None
    done: bool
    cancelled: bool
    success: bool
    success_8bit: bool | None = Field(description="Judged at the end only.")
    margin: float | None
    output: Output | None
    pixels: str | None = Field(description="The image now, base64 float32 as in Ask.")
    distance: dict[str, float] | None
    lowest: tuple[float | None, ...] | None
    proven: str | None = Field(description="What the search proves, when it tried everything.")
    seconds: float
    error: str | None


class LiveAttack(Answer):
    """An attack that the live page offers, with its settings and their defaults."""

    name: str
    about: str
    settings: dict[str, str]
    ranges: dict[str, tuple[float, float]] = Field(description="From where to where a number may go, both included.")
    choices: dict[str, tuple[str, ...]] = Field(description="What a setting that is no number may be.")
    stepwise: str


class LivePage(Answer):
    """What the live page can do with this run."""

    attacks: tuple[LiveAttack, ...]
    guard: Missing | None
    upload_bytes: int
    upload_pixels: int
    formats: tuple[str, ...]
    resize: str = Field(description="The rule by which uploads are made to fit, in words.")


class Uploaded(Answer):
    """An uploaded image, made to fit the classifier. It is not kept: the browser holds it from now on."""

    pixels: str
    was: tuple[int, int] = Field(description="Width and height before.")
    format: str
    rule: str = Field(description="What was done to it, in words.")
    notes: tuple[str, ...]
