"""What several answers share: rates, missing parts, and the error every refusal carries."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Answer(BaseModel):
    """Part of an answer; an unknown key is a fault of the server, not of the reader."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Rate(Answer):
    """A share `hits / n` with its 95 % Wilson interval; `value` is null when nothing was counted."""

    value: float | None
    low: float
    high: float
    hits: int
    n: int


class Estimate(Answer):
    """A figure with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float


class Missing(Answer):
    """A part that this run does not hold, with what would have to be added to its study."""

    available: Literal[False] = False
    part: str = Field(description="What is missing, for example 'neighbours'.")
    why: str = Field(description="One sentence for the reader.")
    add: str = Field(description="What to do, for example a section to add to the study's TOML file.")


class Refusal(Answer):
    """The body of every 4xx and 5xx answer: one sentence that says what was expected and what to do."""

    error: str


class Numbers(Answer):
    """Where raw numbers are: little-endian float32 in C order, of this shape (also in the header X-Shape)."""

    href: str = Field(description="Relative to the API's root, for example 'runs/digits/maps/pca~fc1/points.f32'.")
    shape: tuple[int, ...]


class Atlas(Answer):
    """Pages of tiles at native size. Tile i is on page i // (columns * rows), in reading order; pages count from 0."""

    href: str = Field(description="With {page} in it, relative to the API's root.")
    tile: tuple[int, int] = Field(description="Width and height of a tile in pixels.")
    columns: int
    rows: int
    pages: int
    tiles: int
