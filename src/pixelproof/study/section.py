"""What the sections of a study file share."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from pixelproof import specs


def _fraction(value: object) -> object:
    try:
        return specs.number(value) if isinstance(value, str) else value
    except ZeroDivisionError as reason:
        raise ValueError("must not be divided by zero") from reason


Finite = Annotated[float, Field(allow_inf_nan=False)]
Budget = Annotated[float, BeforeValidator(_fraction), Field(ge=0, allow_inf_nan=False)]


class Section(BaseModel):
    """A part of a study; a misspelt key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, serialize_by_alias=True)
