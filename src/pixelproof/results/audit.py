"""Audit: whether a robust accuracy can be believed; one finding per red flag, and the sentence that may be said."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TypeAlias

import torch
from jaxtyping import Int
from torch import Tensor

from pixelproof.attacks.stochastic import ATTACK_DRAWS, JUDGE_DRAWS
from pixelproof.errors import BadInput
from pixelproof.results.evaluation import Evaluation
from pixelproof.results.red_flags import RED_FLAGS, RedFlag
from pixelproof.types import Rate

Rows: TypeAlias = Int[Tensor, " m"]

NONE = torch.empty(0, dtype=torch.long)


@dataclass(frozen=True, eq=False)
class Finding:
    """Whether a flag is raised (None: the test could not run), the measured value, one sentence, and the images.

    `images` are positions in the original file of the images that raise the flag; empty where the flag is not about
    single images. `reason` is the short form that a verdict quotes. `late`: there was no time left to run the test.
    """

    raised: bool | None
    value: float | None
    detail: str
    reason: str = ""
    images: Rows = NONE
    late: bool = False

    @classmethod
    def not_run(cls, why: str) -> Finding:
        """A test that has nothing to look at."""
        return cls(None, None, f"not run: {why}")

    @classmethod
    def too_late(cls) -> Finding:
        """A test for which there was no time."""
        return cls(None, None, "not run: the time was up", late=True)

    @property
    def status(self) -> str:
        """ "raised", "clear" or "not run"."""
        return "not run" if self.raised is None else "raised" if self.raised else "clear"


@dataclass(frozen=True)
class Effort:
    """What an audit spends on its own tests, beside the evaluation, and how wide an interval it accepts.

    `probes` images at most serve the tests that attack (all that are correct, when fewer), `draws` copies with noise
    show the loss surface. Of the images that stand, `doubled` are attacked with twice the steps, and `noisy` with
    `noise` uniform draws each; of `ranked` of them the `queried` nearest to the boundary meet attacks of `queries`
    queries. `planted` images get an adversarial twin planted, beside `inner` points. `width` is the
    widest 95 % interval that a set of images may give, at a robust accuracy of one half.
    """

    probes: int = 200
    draws: int = 100
    doubled: int = 50
    noisy: int = 5
    noise: int = 10_000
    ranked: int = 100
    queried: int = 20
    queries: int = 5000
    planted: int = 20
    inner: int = 499
    width: float = 0.2

    def __post_init__(self) -> None:
        for field in fields(self):
            if field.name != "width" and getattr(self, field.name) < 1:
                raise BadInput("audit", f"{field.name} must be at least 1", getattr(self, field.name))
        if not 0 < self.width <= 1:
            raise BadInput("audit", "width must lie in (0, 1]", self.width)


@dataclass(frozen=True)
class AuditQuestion:
    """What a kept audit is the answer to: digests of model, data and surrogate, all settings, and the flags."""

    model: str
    data: str
    surrogate: str
    eps: float
    norm: str
    reported: str
    trained_with: str
    effort: Effort
    seed: int
    flags: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Audit:
    """An evaluation with what speaks against it: one finding per row of RED_FLAGS, in that order."""

    evaluation: Evaluation
    findings: tuple[Finding, ...]
    random: bool
    reported: str
    trained_with: str | None
    surrogate: str | None
    effort: Effort

    @property
    def flags(self) -> tuple[tuple[RedFlag, Finding], ...]:
        """Every row of the table with its finding; an audit kept before the last rows were added has fewer."""
        return tuple(zip(RED_FLAGS, self.findings, strict=False))

    @property
    def raised(self) -> tuple[RedFlag, ...]:
        """The flags that are raised."""
        return tuple(flag for flag, finding in self.flags if finding.raised)

    @property
    def late(self) -> tuple[RedFlag, ...]:
        """The flags for whose tests the time was up."""
        return tuple(flag for flag, finding in self.flags if finding.late)

    @property
    def believable(self) -> bool:
        """Whether no flag that blocks is raised or was left out, or nothing stands that could be claimed."""
        return not self.evaluation.robust_accuracy.hits or not any(flag.blocks for flag in (*self.raised, *self.late))

    @property
    def verdict(self) -> str:
        """One sentence: "robust accuracy <= ... under ...", or "not shown robust, because ..."."""
        found = self.evaluation
        under = f"under {found.attack}"
        if self.random:
            under += f", EOT over {ATTACK_DRAWS} draws, scored over {JUDGE_DRAWS} draws"
        bound = f"robust accuracy <= {found.robust_accuracy} {under}, seed {found.seed}"
        if self.believable:
            return bound
        reasons = [finding.reason for flag, finding in self.flags if finding.raised and flag.blocks]
        late = [flag.name for flag in self.late if flag.blocks]
        reasons += [f"the time was up before the tests of {', '.join(late)}"] if late else []
        return f"not shown robust, because {'; '.join(reasons)} (measured: {bound})"

    def __getitem__(self, name: str) -> Finding:
        """The finding of the flag with this name."""
        return next(finding for flag, finding in self.flags if flag.name == name)

    def __repr__(self) -> str:
        return f"Audit({self.verdict})"


@dataclass(frozen=True)
class LowerBound:
    """What interval bounds prove of an audit's images at its budget; None where they cannot go through the model."""

    proven: Rate | None
