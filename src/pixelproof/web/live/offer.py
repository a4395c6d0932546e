"""The attacks that the live page offers, by name, how far their settings go, and the certificate beside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass
from math import inf, prod
from types import MappingProxyType
from typing import Any, ClassVar, Literal, get_args, get_origin, get_type_hints

import torch
from pydantic import Field

from pixelproof import specs
from pixelproof.attacks import ATTACKS
from pixelproof.attacks.attack import used
from pixelproof.attacks.pixel import OnePixel
from pixelproof.errors import BadInput, UnknownName
from pixelproof.views.answer import Answer, Missing
from pixelproof.web.live.images import Shape

SECONDS = 120.0
CERTIFICATE = "certificate"
STEPS = {OnePixel.name: "pixels tried", CERTIFICATE: "the whole proof"}
DEFAULTS = {"eps": 0.1}  # of settings that must be given
LEFT_OUT = ("foolbox", "auto", "critical")  # need another library, many minutes, or an explanation of their own
VALUES = 2**25  # that the images of one batch may hold: 128 MiB

# From and to, by the name of a setting: what one visitor may ask of a server that others use, too.
RANGES: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "budget": (0.1, SECONDS),
        "candidates": (1, 1000),
        "confidence": (0, 1e6),
        "delta": (1e-6, 1),
        "dual_rate": (1e-6, 100),
        "eps": (0, 1e6),
        "first": (0, 1000),
        "gamma": (1e-6, 100),
        "iterations": (0, 1000),
        "k": (1, 100),
        "momentum": (0, 100),
        "overshoot": (0, 100),
        "pixels": (1, 100),
        "price": (1e-6, 100),
        "primal_rate": (1e-6, 100),
        "queries": (0, 20_000),
        "ranked": (1, 1024),
        "rate": (1e-6, 100),
        "restarts": (1, 20),
        "searches": (1, 20),
        "share": (0.001, 1),
        "sigma": (1e-9, 1),
        "step_size": (1e-6, 1e6),
        "steps": (1, 10_000),
        "targets": (0, 1000),
        "threshold": (0, 1),
        "tries": (1, 1000),
        "weight": (1e-9, 1e6),
    }
)
BATCHES = MappingProxyType({"pairs": (1, 512), "population": (4, 1000), "samples": (1, 1000)})  # images at once
ONLY = MappingProxyType({OnePixel.name: {"sweep": ("needed", "always")}})  # the search told step by step knows no more


@dataclass(frozen=True)
class Certificate:
    """The proof that no single pixel, in any colour, fools the classifier, within `budget` CPU seconds."""

    name: ClassVar[str] = CERTIFICATE

    budget: float = 20.0


TABLE: dict[str, Callable[..., Any]] = {
    **{name: kind for name, kind in ATTACKS.items() if name not in LEFT_OUT},
    CERTIFICATE: Certificate,
}


class LiveAttack(Answer):
    """An attack that the live page offers, with its settings and their defaults."""

    name: str = Field(description="As in the table of attacks; 'certificate' is the proof.")
    about: str = Field(description="What it does, in one sentence.")
    settings: dict[str, str] = Field(description="Default by name, as a spec spells it.")
    ranges: dict[str, tuple[float, float]] = Field(description="From where to where a number may go, both included.")
    choices: dict[str, tuple[str, ...]] = Field(description="What a setting that is no number may be.")
    derived: dict[str, str] = Field(description="What settings follow from where they are left at their default.")
    stepwise: str = Field(description="What one step is.")


class LivePage(Answer):
    """What the live page can do with this run."""

    attacks: tuple[LiveAttack, ...] = Field(description="That can be run here.")
    guard: Missing | None = Field(description="Why layers say nothing here, when they do not.")
    upload_bytes: int = Field(description="The largest file that is taken.")
    upload_pixels: int = Field(description="The largest picture that is taken.")
    formats: tuple[str, ...] = Field(description="Of picture files that are taken.")
    resize: str = Field(description="The rule by which uploads are made to fit, in words.")


def offered(shape: Shape) -> tuple[LiveAttack, ...]:
    """Every attack of the live page, for images of a shape."""
    return tuple(_offer(name, shape) for name in TABLE)


def asked(spec: str, shape: Shape) -> Any:
    """The attack that a visitor asks for; BadInput for a setting outside of what is offered."""
    kind = TABLE.get(spec.strip().partition(":")[0])
    needed = {each.name for each in specs.settings(kind) if each.default is MISSING} if kind else set()
    defaults = {name: value for name, value in DEFAULTS.items() if name in needed}
    found = specs.parse(spec, TABLE, "attack", defaults)
    offer = _offer(found.name, shape)
    for name in specs.given(spec, TABLE, "attack"):
        value = getattr(found, name)
        if name not in offer.settings:
            raise UnknownName(found.name, "setting of the live page", name, offer.settings)
        if name in offer.choices and specs.as_text(value) not in offer.choices[name]:
            expected = f"{name} must be one of {', '.join(offer.choices[name])} on the live page"
            raise BadInput(found.name, expected, specs.as_text(value))
        low, high = offer.ranges.get(name, (-inf, inf))
        if value is not None and name in offer.ranges and not low <= value <= high:
            expected = f"{name} must lie in {low:g}..{high:g} on the live page"
            raise BadInput(found.name, expected, value, "Use 'pixelproof attack' for more.")
    return found


def written(attack: Any, device: torch.device) -> str:
    """An attack of the page as a spec, with the value of every setting that runs on a device."""
    running = attack if isinstance(attack, Certificate) else used(attack, device)
    values = {name: getattr(running, name) for name in _known(attack.name)}
    given = ",".join(f"{name}={specs.as_text(value)}" for name, value in values.items() if value is not None)
    return f"{attack.name}:{given}" if given else str(attack.name)


def _known(name: str) -> tuple[str, ...]:
    """The settings that the page knows of an attack."""
    every = [each.name for each in specs.settings(TABLE[name]) if each.init]
    return tuple(each for each in every if name not in ONLY or each in ONLY[name])


def _offer(name: str, shape: Shape) -> LiveAttack:
    kind = TABLE[name]
    hints = get_type_hints(kind)
    settings: dict[str, str] = {}
    ranges: dict[str, tuple[float, float]] = {}
    choices: dict[str, tuple[str, ...]] = {}
    derived: dict[str, str] = {}
    for each in specs.settings(kind):
        if each.name not in _known(name):
            continue
        default = DEFAULTS.get(each.name, "") if each.default is MISSING else each.default
        settings[each.name] = "none" if default is None else specs.as_text(default)
        if says := specs.derivation(each):
            derived[each.name] = says
        options = get_args(hints[each.name]) if get_origin(hints[each.name]) is Literal else ()
        if hints[each.name] is bool:
            choices[each.name] = ("true", "false")
        elif options:
            choices[each.name] = ONLY.get(name, {}).get(each.name, tuple(map(str, options)))
        else:
            ranges[each.name] = _range(each.name, shape)
    about = (kind.__doc__ or "").strip().splitlines()[0]
    return LiveAttack(
        name=name,
        about=about,
        settings=settings,
        ranges=ranges,
        choices=choices,
        derived=derived,
        stepwise=STEPS.get(name, "one forward pass"),
    )


def _range(setting: str, shape: Shape) -> tuple[float, float]:
    """From where to where a number may go; of what decides how many images there are at once, by their size."""
    if setting not in BATCHES:
        low, high = RANGES[setting]
        return float(low), float(high)
    low, high = BATCHES[setting]
    return float(low), float(max(low, min(high, VALUES // prod(shape))))
