"""What every answer is made of: a view returns one of these, and report, tables, pages and commands share it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal, TypeAlias, TypeVar

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from pixelproof.detect import Estimate
from pixelproof.errors import PixelproofError
from pixelproof.types import Rate

T = TypeVar("T")
ClassName: TypeAlias = Annotated[
    str, Field(validation_alias=AliasChoices("class_name", "class"), serialization_alias="class")
]  # "class" in JSON and tables, which Python keeps for itself


class Answer(BaseModel):
    """Part of an answer; an unknown key is a fault of the program, not of the reader."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Missing(Answer):
    """A part that this run does not hold, with what would have to be added to its study."""

    available: Literal[False] = False
    part: str = Field(description="What is missing, for example 'neighbours'.")
    why: str = Field(description="One sentence for the reader.")
    add: str = Field(description="What to do, for example a section to add to the study's TOML file.")


class Lacking(PixelproofError):
    """Raised by a view whose run does not hold what it shows: an answer for the reader, not a fault."""

    def __init__(self, part: str, why: str, add: str) -> None:
        super().__init__(part, why.rstrip("."), do=add)
        self.part, self.why, self.add = part, why, add

    def answer(self) -> Missing:
        """The same as an answer."""
        return Missing(part=self.part, why=self.why, add=self.add)


class Refusal(Answer):
    """The body of every 4xx and 5xx answer: one sentence that says what was expected and what to do."""

    error: str = Field(description="What was expected, what was got and what to do.")


class Numbers(Answer):
    """Where raw numbers are: little-endian float32 in C order, of this shape (also in the header X-Shape)."""

    href: str = Field(description="Relative to the API's root, for example 'runs/digits/maps/pca~fc1/points.f32'.")
    shape: tuple[int, ...] = Field(description="Size along every axis.")


class Atlas(Answer):
    """Pages of tiles at native size. Tile i is on page i // (columns * rows), in reading order; pages count from 0."""

    href: str = Field(description="With {page} in it, relative to the API's root.")
    tile: tuple[int, int] = Field(description="Width and height of a tile in pixels.")
    columns: int = Field(description="Tiles side by side on a page.")
    rows: int = Field(description="Tiles one below the other on a page.")
    pages: int = Field(description="How many pages there are.")
    tiles: int = Field(description="On all pages together.")


def held(make: Callable[[], T]) -> T | None:
    """What a view gives, or None where its run does not hold it."""
    try:
        return make()
    except Lacking:
        return None


def or_missing(make: Callable[[], T]) -> T | Missing:
    """What a view gives, or the answer that says what is missing."""
    try:
        return make()
    except Lacking as lacking:
        return lacking.answer()


__all__ = [
    "Answer",
    "Atlas",
    "ClassName",
    "Estimate",
    "Lacking",
    "Missing",
    "Numbers",
    "Rate",
    "Refusal",
    "held",
    "or_missing",
]
