"""What the browser asks of the live page: judge an image, attack it."""

from __future__ import annotations

from pydantic import Field

from pixelproof.views.answer import Answer

SESSION = Field(description="A name the browser draws.", min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")


class Ask(Answer):
    """An image to judge: little-endian float32 values in [0, 1], (c, h, w), as base64.

    Within a `session` (a name the browser draws) the highest `sequence` wins: older questions get 409.
    """

    session: str = SESSION
    sequence: int = Field(ge=0, description="Higher in every later question of a session.")
    pixels: str = Field(description="The image.")
    neighbours: int = Field(default=12, ge=0, le=100, description="How many to list per layer.")


class Mount(Answer):
    """An attack to run on an image, by its spec, for example 'pgd:eps=0.1,steps=20' or 'one-pixel'.

    `label` is the true class, `target` a class to reach. A new attack in the same session cancels the one before.
    """

    session: str = SESSION
    pixels: str = Field(description="The image, as in Ask.")
    label: int = Field(ge=0, lt=2**31, description="True class.")
    target: int | None = Field(default=None, ge=0, lt=2**31, description="A class to reach; null for any wrong one.")
    attack: str = Field(min_length=1, max_length=200, description="Its spec.")
    seed: int = Field(default=0, ge=0, lt=2**63, description="That the attack's random numbers are drawn with.")
