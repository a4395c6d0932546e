"""Every error that pixelproof raises on purpose.

PixelproofError
├── BadInput            images, labels, settings or shapes that cannot be right   (also a ValueError)
│   ├── UnknownName     a component, layer, data set or setting that does not exist; suggests the nearest
│   ├── CertificateRefused  a network with an operation that no proof can go through
│   └── NoGradient      a network whose logits do not depend on the image by any gradient
├── BrokenPromise       an attack returned an image outside its range or budget
├── DataUnavailable     a named data set is neither on disk nor downloadable
├── CorruptFile         a file is not what its name or header says
└── RunError            a run folder that cannot be written, read or continued

One sentence, always in the same order: who, what was expected, what was got, what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class PixelproofError(Exception):
    """An error whose message says who complains, what it expected, what it got and what to do about it."""

    def __init__(self, who: str, expected: str, got: object = None, do: str = "") -> None:
        message = f"{who}: {expected}"
        if got is not None:
            message += f"; got {got}"
        super().__init__(f"{message}." + (f" {do}" if do else ""))
        self.who = who


class BadInput(PixelproofError, ValueError):
    """A value from the caller that cannot be right."""


def _listed(names: list[str], most: int = 40) -> str:
    """The names, or how many more there are when the list is long."""
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return (", ".join(names[:most]) or "none") + rest


class UnknownName(BadInput):
    """A name that is not in its table."""

    def __init__(self, who: str, kind: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        folded = {known_name.lower(): known_name for known_name in names}
        near = difflib.get_close_matches(name.lower(), folded, n=1, cutoff=0.5)
        hint = f"Did you mean '{folded[near[0]]}'? " if near else ""
        super().__init__(who, f"expected a known {kind}", f"'{name}'", f"{hint}Known: {_listed(names)}.")


class CertificateRefused(BadInput):
    """A network with an operation that no proof can go through; the message names it."""


class NoGradient(BadInput):
    """A network without a gradient, asked by something that cannot work without one."""

    def __init__(self, who: str, reason: object = "logits without one") -> None:
        queries = "square, hop-skip-jump or spsa"
        super().__init__(who, "the network must give a gradient", reason, f"Use an attack by queries: {queries}.")


class BrokenPromise(PixelproofError):
    """An attack's result breaks the range or the budget it was given."""


class DataUnavailable(PixelproofError):
    """A data set that can be neither found nor fetched."""


class CorruptFile(PixelproofError):
    """A file whose content contradicts its format."""


class RunError(PixelproofError):
    """A run folder that cannot be written, read or continued."""
