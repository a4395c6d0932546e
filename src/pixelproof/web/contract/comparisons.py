"""Answers that put classifiers beside each other: plain and hardened, one run and another."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pixelproof.web.contract.common import Answer, Estimate, Rate


class Spread(Answer):
    """The mean over training seeds with the lowest and highest; of one seed its 95 % interval over images."""

    value: float
    low: float
    high: float
    seeds: int


class Held(Answer):
    """Accuracy on the same sample of images under one attack; `eps` is 0 where nothing attacked."""

    attack: str
    eps: float
    mask_on: bool = Field(description="Whether the defence's mask was also on while judging.")
    accuracy: Spread


class Versus(Answer):
    """Hardened minus plain model on the same images under one attack, with its 95 % bootstrap interval."""

    attack: str
    n: int
    seeds: int
    difference: Estimate


class RowAudit(Answer):
    """What the audit of a row's model said, on n images."""

    mask_on: bool
    verdict: str
    believable: bool
    raised: tuple[str, ...]
    n: int


class HardenedRow(Answer):
    """One network trained with one row of [defences]."""

    net: str
    row: str
    plain: bool = Field(description="Whether this is the network's undefended row.")
    defences: tuple[str, ...]
    seeds: int
    n: int
    eps: float
    held: tuple[Held, ...]
    against: tuple[Versus, ...]
    certified: Spread | None
    cost: float = Field(description="CPU seconds of training relative to the plain row.")
    audits: tuple[RowAudit, ...] = Field(description="Without the defence's mask and with it; none where not audited.")


class Hardened(Answer):
    """Plain and hardened models beside each other."""

    available: Literal[True] = True
    rows: tuple[HardenedRow, ...]


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
