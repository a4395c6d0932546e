"""Answers that put classifiers beside each other: plain and hardened, one run and another."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pixelproof.web.contract.common import Answer, Estimate, Rate


class PairedCell(Answer):
    """Two classifiers on the same images under one attack at one budget (nulls: clean); `difference` second - first."""

    attack: str | None
    norm: str | None
    eps: float | None
    first: Rate
    second: Rate
    only_first: int = Field(description="Images that only the first classifier gets right.")
    only_second: int
    difference: Estimate
    p: float = Field(description="McNemar's exact p-value.")
    p_holm: float = Field(description="Adjusted for all cells (Holm).")


class Paired(Answer):
    """Two runs compared image by image."""

    available: Literal[True] = True
    n: int = Field(description="Test images that both runs used.")
    cells: tuple[PairedCell, ...]
    limit: str = Field(description="What this comparison cannot say.")
