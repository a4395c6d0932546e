"""Trees: frozen dataclasses of tensors, as plain JSON values beside tensors that are named by their dotted path.

There are two ways to know again what a value was. Where the type is known, as for a result of a run, its annotations
say it, and the JSON holds values alone. Where it is not, as for a guard, which may be of many kinds, every part says
its own: {"kind": NAME, "fields": {...}}, {"tuple": [...]}, {"tensor": PATH}, or what a leaf of the table made of it.
Only kinds in the table are made again, so a file from somewhere else cannot run anything.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Union, get_args, get_origin, get_type_hints

from torch import Tensor

from pixelproof.errors import BadInput

Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class Leaf:
    """A kind of value that is kept in a way of its own.

    `pack(value, path, tensors)` gives a JSON object with the key `tag`, and puts tensors aside under names that begin
    with `path`; `unpack(object, tensors)` makes the value again. `holds(value)` says whether a value is of this kind.
    """

    tag: str
    holds: Callable[[Any], bool]
    pack: Callable[[Any, str, Tensors], dict[str, Any]]
    unpack: Callable[[dict[str, Any], Mapping[str, Tensor]], Any]


@dataclass(frozen=True)
class Kinds:
    """The table of what a tree that names its kinds may be made of: dataclasses by name, and leaves."""

    who: str
    classes: Mapping[str, type]
    leaves: tuple[Leaf, ...] = ()
    made: Mapping[str, Leaf] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "made", {leaf.tag: leaf for leaf in self.leaves})

    def leaf(self, value: Any) -> Leaf | None:
        """The leaf that keeps a value, or None."""
        return next((leaf for leaf in self.leaves if leaf.holds(value)), None)

    def name(self, value: Any) -> str:
        """The name of a dataclass; BadInput for one that is not in the table."""
        name = type(value).__name__
        if self.classes.get(name) is not type(value):
            raise BadInput(self.who, "expected parts of pixelproof's own", f"a part of kind {name}", "Fit it again.")
        return name


def flatten(value: Any, path: str, tensors: Tensors, kinds: Kinds | None = None) -> Any:
    """The JSON part of a value; its tensors are put aside under their dotted path.

    With `kinds`, every part says what it is; BadInput for one that is not in the table.
    """
    if isinstance(value, Tensor):
        tensors[path] = value
        return None if kinds is None else {"tensor": path}
    leaf = None if kinds is None else kinds.leaf(value)
    if leaf is not None:
        return leaf.pack(value, path, tensors)
    if isinstance(value, tuple) or (isinstance(value, list) and kinds is None):
        parts = [flatten(item, f"{path}.{k}", tensors, kinds) for k, item in enumerate(value)]
        return parts if kinds is None else {"tuple": parts}
    if kinds is not None:
        return value if _plain(value) else {"kind": kinds.name(value), "fields": _fields(value, path, tensors, kinds)}
    if isinstance(value, Mapping):
        return {key: flatten(item, f"{path}.{key}", tensors) for key, item in value.items()}
    kept = dataclasses.is_dataclass(value) and not isinstance(value, type)
    return _fields(value, path, tensors, None) if kept else value


def build(hint: Any, plain: Any, path: str, tensors: Mapping[str, Tensor]) -> Any:
    """The value of type `hint` from its JSON part and the tensors under its dotted path.

    KeyError, TypeError or ValueError where the parts are not those of such a value.
    """
    if path in tensors:
        return tensors[path]
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        hints = get_type_hints(hint)
        values = {
            each.name: build(hints[each.name], plain[each.name], _below(path, each.name), tensors)
            for each in dataclasses.fields(hint)
            if each.init and (each.name in plain or each.default is dataclasses.MISSING)
        }
        return hint(**values)
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        options = [kind for kind in inner if kind is not type(None)]
        return None if plain is None else build(options[0], plain, path, tensors)
    if origin is tuple:
        return tuple(build(inner[0], item, f"{path}.{k}", tensors) for k, item in enumerate(plain))
    if origin is dict:
        return {key: build(inner[1], item, f"{path}.{key}", tensors) for key, item in plain.items()}
    return plain


def rebuild(plain: Any, tensors: Mapping[str, Tensor], kinds: Kinds) -> Any:
    """The value that was flattened with `kinds`; KeyError or TypeError where its parts are none of the table's."""
    if not isinstance(plain, dict):
        return plain
    if "tuple" in plain:
        return tuple(rebuild(one, tensors, kinds) for one in plain["tuple"])
    if "tensor" in plain:
        return tensors[plain["tensor"]]
    leaf = next((kinds.made[tag] for tag in plain if tag in kinds.made), None)
    if leaf is not None:
        return leaf.unpack(plain, tensors)
    parts = {name: rebuild(one, tensors, kinds) for name, one in plain["fields"].items()}
    return kinds.classes[plain["kind"]](**parts)


def _fields(value: Any, path: str, tensors: Tensors, kinds: Kinds | None) -> dict[str, Any]:
    """The fields of a dataclass; with `kinds`, those that its constructor takes."""
    names = [each.name for each in dataclasses.fields(value) if each.init or kinds is None]
    return {name: flatten(getattr(value, name), _below(path, name), tensors, kinds) for name in names}


def _plain(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float | str)


def _below(path: str, name: str) -> str:
    return f"{path}.{name}".lstrip(".")
