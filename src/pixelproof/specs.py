"""Components and their spec strings: "pgd:eps=8/255,steps=40" <-> PGD(eps=8/255, steps=40).

A component is a frozen dataclass with a class variable `name`; a table maps names to classes. Values without "="
bind to the fields in order, so "pgd:0.1" is PGD(eps=0.1). A class variable `rest` names the field, a tuple of texts
"key=value", that takes what no field does: the settings of an adapter's other library.
"""

from __future__ import annotations

import dataclasses
import math
import types
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from pixelproof.errors import BadInput, UnknownName

T = TypeVar("T")
DERIVED = "derived"  # where a setting says what it follows from
SHORT = 8  # characters of a budget that are read at a glance
SINGLE = (1.1754944e-38, 3.4028234e38)  # the sizes of numbers that float32 holds, in which everything is computed


def parse(
    spec: str,
    table: Mapping[str, Callable[..., T]],
    kind: str = "component",
    defaults: Mapping[str, object] | None = None,
) -> T:
    """The component that `spec` names, with the settings it gives, and `defaults` for those it leaves out.

    Raises UnknownName for a name or setting that does not exist, BadInput for a value of the wrong type.
    """
    chosen = given(spec, table, kind)
    name = spec.strip().partition(":")[0]
    maker: Any = table[name]
    fields = {field.name: field for field in dataclasses.fields(maker) if field.init}
    chosen = {key: value for key, value in (defaults or {}).items() if key in fields} | chosen
    missing = [
        key
        for key, field in fields.items()
        if key not in chosen and field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise BadInput(name, f"needs {', '.join(missing)}", f"'{spec}'", f"For example '{name}:{missing[0]}=...'.")
    made: T = maker(**chosen)
    check_single(made)
    return made


def given(spec: str, table: Mapping[str, Callable[..., Any]], kind: str = "component") -> dict[str, Any]:
    """The settings that `spec` itself gives, by field name."""
    name, _, settings = spec.strip().partition(":")
    if name not in table:
        raise UnknownName("spec", kind, name, table)
    maker: Any = table[name]
    fields = [field.name for field in dataclasses.fields(maker) if field.init]
    hints = get_type_hints(maker)
    rest: str | None = getattr(maker, "rest", None)
    found: dict[str, Any] = {}
    for position, item in enumerate(part for part in settings.split(",") if part.strip()):
        key, equals, text = (piece.strip() for piece in item.partition("="))
        if not equals:
            if position >= len(fields):
                raise BadInput(name, f"takes at most {len(fields)} settings", f"'{item.strip()}' as one more")
            key, text = fields[position], key
        if key not in fields and rest is not None:
            found[rest] = (*found.get(rest, ()), f"{key}={text}")
            continue
        if key not in fields:
            raise UnknownName(name, "setting", key, fields)
        if key in found:
            raise BadInput(name, "expected each setting once", f"'{key}' twice", f"Settings: {', '.join(fields)}.")
        found[key] = _value(name, key, text, hints[key])
    return found


def derived(says: str) -> dict[str, str]:
    """The metadata of a setting that follows from something else where it is not given; `says` from what."""
    return {DERIVED: says}


def derivation(setting: dataclasses.Field[Any]) -> str:
    """What a setting follows from where it is not given; empty for one that its default decides."""
    return str(setting.metadata.get(DERIVED, ""))


def check_single(component: Any) -> None:
    """Refuse settings whose numbers float32 would take for infinity or for 0: what follows would be about those."""
    for field in dataclasses.fields(component):
        value = getattr(component, field.name)
        for item in value if isinstance(value, tuple) else (value,):
            size = abs(item) if isinstance(item, float) else 1.0
            if 0 < size < math.inf and not SINGLE[0] <= size <= SINGLE[1]:
                raise BadInput(component.name, f"{field.name} must be a number that float32 holds", item)


def settings(kind: Any) -> tuple[dataclasses.Field[Any], ...]:
    """The settings of a kind of component, or of one of them, in their order."""
    return dataclasses.fields(kind)


def write(component: Any) -> str:
    """The spec string of a component: its name and every setting that is not None."""
    rest = getattr(component, "rest", None)
    written = [
        ",".join(value) if field.name == rest else f"{field.name}={as_text(value)}"
        for field in dataclasses.fields(component)
        if field.init and (value := getattr(component, field.name)) is not None and (field.name != rest or value)
    ]
    return f"{component.name}:{','.join(written)}" if written else str(component.name)


def number(text: str) -> float:
    """A float written as "0.03" or as a fraction, "8/255"."""
    top, slash, bottom = text.partition("/")
    return float(top) / float(bottom) if slash else float(text)


def as_text(value: object) -> str:
    """A setting as a spec writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return decimal(value)
    if isinstance(value, tuple):
        return "|".join(as_text(item) for item in value)
    return str(value)


def decimal(value: float) -> str:
    """The shortest text that reads back as exactly `value`: a short decimal, a fraction of 255, or every digit."""
    short = f"{value:.8g}"
    if float(short) == value:
        return short
    fraction = f"{value * 255:.0f}/255"
    return fraction if number(fraction) == value else repr(value)


def budget(eps: float) -> str:
    """The size of a change as people write it: a short decimal, a fraction of 255, or else four digits of it."""
    for text in (f"{eps:.8g}", f"{eps * 255:.6g}/255"):
        if len(text) <= SHORT and number(text) == eps:
            return text
    return f"{eps:.4g}"


def _value(who: str, key: str, text: str, hint: Any) -> Any:
    """`text` read as the type that the field's annotation asks for."""
    options = _flatten(hint)
    for option in options:
        try:
            return _read(text, option)
        except (ValueError, ZeroDivisionError):
            continue
    choices = [str(choice) for option in options if get_origin(option) is Literal for choice in get_args(option)]
    if choices:
        raise UnknownName(who, key, text, choices)
    wanted = " or ".join(getattr(option, "__name__", str(option)) for option in options if option is not type(None))
    raise BadInput(who, f"{key} must be {wanted}", f"'{text}'")


def _flatten(hint: Any) -> list[Any]:
    if get_origin(hint) in (Union, types.UnionType):
        return [leaf for part in get_args(hint) for leaf in _flatten(part)]
    return [hint]


def _read(text: str, hint: Any) -> Any:
    if hint is type(None):
        if text.lower() == "none":
            return None
    elif hint is bool:
        if text.lower() in ("true", "false"):
            return text.lower() == "true"
    elif hint is int:
        return int(text)
    elif hint is float:
        return number(text)
    elif hint is str:
        return text
    elif get_origin(hint) is Literal:
        for choice in get_args(hint):
            if text == str(choice):
                return choice
    elif get_origin(hint) is tuple:
        return tuple(_read(part, get_args(hint)[0]) for part in text.split("|") if text)
    raise ValueError(text)
