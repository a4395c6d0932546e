"""Guards on disk: a folder with the activations it needs and, written last, everything it decides by.

Only what the table of detectors says its guards are made of is written and read: fields as JSON, tensors as
safetensors. Nothing is unpickled, so a guard from somewhere else cannot run anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from types import FunctionType, MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from pixelproof.attacks.pixel import Executor, executor
from pixelproof.detect.guards.guard import Calibration, Guard, Part, SameModel
from pixelproof.detect.guards.scored import ScoreGuard
from pixelproof.detect.neighbours.index import ExactIndex
from pixelproof.detect.neighbours.store import Store
from pixelproof.detect.storage import accepted, read, write
from pixelproof.errors import BadInput, CorruptFile
from pixelproof.models import Classifier
from pixelproof.tree import Kinds, Leaf, Tensors, flatten, rebuild

GUARD = "guard.safetensors"
LAYERS: Mapping[str, tuple[Callable[..., nn.Module], tuple[str, ...]]] = MappingProxyType(
    {
        "Conv2d": (nn.Conv2d, ("in_channels", "out_channels", "kernel_size", "stride", "padding")),
        "Linear": (nn.Linear, ("in_features", "out_features")),
        "Sigmoid": (nn.Sigmoid, ()),
        "ReLU": (nn.ReLU, ()),
        "Flatten": (nn.Flatten, ("start_dim", "end_dim")),
        "AvgPool2d": (nn.AvgPool2d, ("kernel_size", "ceil_mode")),
        "Upsample": (nn.Upsample, ("size", "mode")),
    }
)


@cache
def _listed() -> dict[str, Part]:
    """What the guards of the table are made of, by name: classes, and functions that score."""
    from pixelproof.detect import DETECTORS, SUPERVISED  # the table's package gives this module's functions

    parts: list[Part] = [ScoreGuard, Calibration]
    parts += [part for kind in (*DETECTORS.values(), *SUPERVISED.values()) for part in kind.parts]
    return {part.__name__: part for part in parts}


def save_guard(guard: Guard, folder: str | Path) -> None:
    """Write a guard; a folder without guard.safetensors was not finished and is not read.

    Raises BadInput for a guard with parts of another kind than those in the tables.
    """
    folder = Path(folder)
    (folder / GUARD).unlink(missing_ok=True)
    tensors: dict[str, Tensor] = {}
    packed = flatten(guard, "guard", tensors, _kinds(folder, None))
    digests = {one["fitted on"] for one in _inside(packed) if "fitted on" in one}
    if len(digests) != 1:
        raise BadInput("save_guard", "a guard must belong to one model", f"{len(digests)} models")
    write(folder / GUARD, tensors, {"digest": digests.pop(), "guard": packed})


def load_guard(folder: str | Path, model: Classifier) -> Guard:
    """The guard in a folder; raises CorruptFile for an unfinished one and BadInput for another model's."""
    folder = Path(folder)
    if not (folder / GUARD).is_file():
        raise CorruptFile(str(folder), "expected a finished guard", f"no {GUARD}", "Fit it again.")
    tensors, facts = read(folder / GUARD, accepted(folder / GUARD, model))
    try:
        found = rebuild(facts["guard"], tensors, _kinds(folder, model))
    except (KeyError, TypeError, IndexError, RuntimeError, AttributeError) as reason:
        raise CorruptFile(str(folder), "expected a guard", repr(reason), "Fit it again.") from reason
    if not isinstance(found, Guard):
        raise CorruptFile(str(folder), "expected a guard", type(found).__name__, "Fit it again.")
    return found


def _kinds(folder: Path, model: Classifier | None) -> Kinds:
    """What a guard in `folder` may be made of, read for `model`; writing needs none."""

    def store(value: Store, path: str, tensors: Tensors) -> dict[str, Any]:
        value.save(folder / path)
        return {"store": path}

    def opened_store(plain: dict[str, Any], tensors: Mapping[str, Tensor]) -> Store:
        return Store.load(folder / plain["store"], _reader(model))

    def index(value: ExactIndex, path: str, tensors: Tensors) -> dict[str, Any]:
        tensors |= {f"{path}.rows": value.rows, f"{path}.ids": value.ids}
        return {"index": path, "metric": value.metric}

    def filled(plain: dict[str, Any], tensors: Mapping[str, Tensor]) -> ExactIndex:
        rows = tensors[f"{plain['index']}.rows"]
        found = ExactIndex(rows.shape[1], plain["metric"])
        found.add(rows, tensors[f"{plain['index']}.ids"])
        return found

    def chain(value: nn.Sequential, path: str, tensors: Tensors) -> dict[str, Any]:
        return {"chain": [_layer(one, f"{path}.{number}", tensors) for number, one in enumerate(value)]}

    def chained(plain: dict[str, Any], tensors: Mapping[str, Tensor]) -> nn.Module:
        return nn.Sequential(*(_built(one, tensors) for one in plain["chain"])).eval()

    def ready(plain: dict[str, Any], tensors: Mapping[str, Tensor]) -> Executor:
        own = _reader(model)
        return executor(own, torch.zeros(own.card.input_shape, device=own.device))

    leaves = (
        Leaf("store", lambda value: isinstance(value, Store), store, opened_store),
        Leaf(
            "fitted on",
            lambda value: isinstance(value, SameModel),
            lambda value, path, tensors: {"fitted on": value.digest},
            lambda plain, tensors: SameModel(_reader(model)),
        ),
        Leaf(
            "executor",
            lambda value: isinstance(value, Executor),
            lambda value, path, tensors: {"executor": value.note},
            ready,
        ),
        Leaf("index", lambda value: isinstance(value, ExactIndex), index, filled),
        Leaf("chain", lambda value: isinstance(value, nn.Sequential), chain, chained),
        Leaf(
            "layer",
            lambda value: isinstance(value, nn.Module),
            _layer,
            lambda plain, tensors: _built(plain, tensors).eval(),
        ),
        Leaf(
            "function",
            lambda value: isinstance(value, FunctionType) and _listed().get(value.__name__) is value,
            lambda value, path, tensors: {"function": value.__name__},
            lambda plain, tensors: _listed()[plain["function"]],
        ),
    )
    classes = {name: part for name, part in _listed().items() if isinstance(part, type)}
    return Kinds("save_guard", classes, leaves)


def _reader(model: Classifier | None) -> Classifier:
    if model is None:
        raise TypeError("a guard is read for a model")
    return model


def _layer(layer: nn.Module, place: str, tensors: Tensors) -> dict[str, Any]:
    name = type(layer).__name__
    if name not in LAYERS:
        raise BadInput("save_guard", f"networks of guards are made of {', '.join(LAYERS)}", name)
    tensors |= {f"{place}.{key}": value for key, value in layer.state_dict().items()}
    return {"layer": name, "place": place, "settings": {key: getattr(layer, key) for key in LAYERS[name][1]}}


def _built(facts: dict[str, Any], tensors: Mapping[str, Tensor]) -> nn.Module:
    kind, names = LAYERS[facts["layer"]]
    settings = {key: tuple(one) if isinstance(one, list) else one for key, one in facts["settings"].items()}
    layer = kind(**{name: settings[name] for name in names})
    start = f"{facts['place']}."
    layer.load_state_dict({key.removeprefix(start): value for key, value in tensors.items() if key.startswith(start)})
    return layer


def _inside(packed: Any) -> Iterator[dict[str, Any]]:
    """Every JSON object in a packed guard."""
    if isinstance(packed, dict):
        yield packed
        packed = list(packed.values())
    if isinstance(packed, list):
        for one in packed:
            yield from _inside(one)
