"""The attacks that the live page offers, by name, and the certificate beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import MISSING, dataclass, fields
from typing import Any, ClassVar

from pixelproof.attacks import ATTACKS
from pixelproof.attacks.pixel import OnePixel
from pixelproof.errors import BadInput

SECONDS = 120.0
CERTIFICATE = "certificate"
STEPS = {OnePixel.name: "pixels tried", CERTIFICATE: "the whole proof"}
DEFAULTS = {"eps": 0.1, "budget": 20.0}
LEFT_OUT = ("foolbox", "auto", "critical")  # need another library, many minutes, or an explanation of their own


@dataclass(frozen=True)
class Certificate:
    """The proof that no single pixel, in any colour, fools the classifier, within `budget` CPU seconds."""

    name: ClassVar[str] = CERTIFICATE

    budget: float = 20.0

    def __post_init__(self) -> None:
        if not 0 < self.budget <= SECONDS:
            raise BadInput(self.name, f"the budget must lie in (0, {SECONDS:g}] CPU seconds", self.budget)


TABLE: dict[str, Callable[..., Any]] = {
    **{name: kind for name, kind in ATTACKS.items() if name not in LEFT_OUT},
    CERTIFICATE: Certificate,
}


def offered() -> Iterator[tuple[str, str, dict[str, str], str]]:
    """Every attack of the live page: name, what it is, settings with their defaults, and what a step of it is."""
    for name, kind in TABLE.items():
        settings = {}
        for each in fields(kind):  # type: ignore[arg-type]
            default = DEFAULTS.get(each.name, "") if each.default is MISSING else each.default
            settings[each.name] = str(default).lower() if isinstance(default, bool) else str(default)
        about = (kind.__doc__ or "").strip().splitlines()[0]
        step = STEPS.get(name, "one forward pass")
        yield name, about, settings, step
