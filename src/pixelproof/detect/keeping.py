"""Guards on disk: a folder with the activations it needs and, written last, everything it decides by.

Only the kinds in the tables below are written and read: their fields as JSON, their tensors as safetensors. Nothing is
unpickled, so a guard from somewhere else cannot run anything.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from pixelproof.attacks.pixel import Executor, executor
from pixelproof.detect.detectors import (
    confidence,
    consistency,
    density,
    distance,
    ensemble,
    evidence,
    heads,
    mahalanobis,
    reconstruction,
    spectral,
    squeezing,
)
from pixelproof.detect.detectors import signature as signatures
from pixelproof.detect.detectors.deep_neighbours import NeighbourGuard, Scoring
from pixelproof.detect.detectors.repair import RepairGuard
from pixelproof.detect.guards.guard import Calibration, Guard, SameModel
from pixelproof.detect.guards.scored import ScoreGuard
from pixelproof.detect.neighbours import rules
from pixelproof.detect.neighbours.index import ExactIndex
from pixelproof.detect.neighbours.store import Store
from pixelproof.detect.storage import read, write
from pixelproof.errors import BadInput, CorruptFile
from pixelproof.models import Classifier

GUARD = "guard.safetensors"
KINDS: Mapping[str, type] = MappingProxyType(
    {
        kind.__name__: kind
        for kind in (
            ScoreGuard,
            NeighbourGuard,
            ensemble.EnsembleGuard,
            ensemble.Surprise,
            RepairGuard,
            Calibration,
            Scoring,
            rules.Rule,
            consistency.Transformed,
            consistency.Drift,
            consistency.Turning,
            distance.Radius,
            distance.Dimension,
            density.Rarity,
            mahalanobis.Gaussian,
            mahalanobis.ClassDistance,
            reconstruction.Restored,
            spectral.Spectrum,
            squeezing.Squeezed,
            signatures.SignatureScorer,
            evidence.Evidence,
            evidence.PixelSignature,
            heads.Head,
            heads.Scale,
        )
    }
)
FUNCTIONS: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {function.__name__: function for function in (confidence.doubt, confidence.closeness)}
)
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


def save_guard(guard: Guard, folder: Path) -> None:
    """Write a guard; a folder without guard.safetensors was not finished and is not read.

    Raises BadInput for a guard with parts of another kind than those in the tables.
    """
    (folder / GUARD).unlink(missing_ok=True)
    tensors: dict[str, Tensor] = {}
    packed = _pack(guard, "guard", tensors, folder)
    digests = {one["fitted on"] for one in _inside(packed) if "fitted on" in one}
    if len(digests) != 1:
        raise BadInput("save_guard", "a guard must belong to one model", f"{len(digests)} models")
    whole = {name: tensor.clone() for name, tensor in tensors.items()}  # the file format refuses shared memory
    write(folder / GUARD, whole, {"digest": digests.pop(), "guard": packed})


def load_guard(folder: Path, model: Classifier) -> Guard:
    """The guard in a folder; raises CorruptFile for an unfinished one and BadInput for another model's."""
    if not (folder / GUARD).is_file():
        raise CorruptFile(str(folder), "expected a finished guard", f"no {GUARD}", "Fit it again.")
    tensors, facts = read(folder / GUARD, model.digest())
    try:
        found = _unpack(facts["guard"], tensors, folder, model)
    except (KeyError, TypeError, IndexError, RuntimeError) as reason:
        raise CorruptFile(str(folder), "expected a guard", repr(reason), "Fit it again.") from reason
    if not isinstance(found, Guard):
        raise CorruptFile(str(folder), "expected a guard", type(found).__name__, "Fit it again.")
    return found


def _pack(value: Any, place: str, tensors: dict[str, Tensor], folder: Path) -> Any:
    """A value as JSON; tensors are put aside under `place`, stores into folders of that name."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, tuple):
        return {"tuple": [_pack(one, f"{place}.{number}", tensors, folder) for number, one in enumerate(value)]}
    if isinstance(value, Tensor):
        tensors[place] = value
        return {"tensor": place}
    if isinstance(value, Store):
        value.save(folder / place)
        return {"store": place}
    if isinstance(value, SameModel):
        return {"fitted on": value.digest}
    if isinstance(value, Executor):
        return {"executor": value.note}
    if isinstance(value, ExactIndex):
        tensors |= {f"{place}.rows": value.rows, f"{place}.ids": value.ids}
        return {"index": place, "metric": value.metric}
    if isinstance(value, nn.Sequential):
        return {"chain": [_layer(one, f"{place}.{number}", tensors) for number, one in enumerate(value)]}
    if isinstance(value, nn.Module):
        return _layer(value, place, tensors)
    function = next((name for name, known in FUNCTIONS.items() if known is value), None)
    if function is not None:
        return {"function": function}
    name = type(value).__name__
    if KINDS.get(name) is not type(value):
        raise BadInput("save_guard", "expected a guard of pixelproof.detect", f"a part of kind {name}", "Fit it again.")
    fields = [field.name for field in dataclasses.fields(KINDS[name]) if field.init]
    parts = {field: _pack(getattr(value, field), f"{place}.{field}", tensors, folder) for field in fields}
    return {"kind": name, "fields": parts}


def _layer(layer: nn.Module, place: str, tensors: dict[str, Tensor]) -> dict[str, Any]:
    name = type(layer).__name__
    if name not in LAYERS:
        raise BadInput("save_guard", f"networks of guards are made of {', '.join(LAYERS)}", name)
    tensors |= {f"{place}.{key}": value.detach() for key, value in layer.state_dict().items()}
    return {"layer": name, "place": place, "settings": {key: getattr(layer, key) for key in LAYERS[name][1]}}


def _unpack(value: Any, tensors: dict[str, Tensor], folder: Path, model: Classifier) -> Any:
    if not isinstance(value, dict):
        return value
    if "tuple" in value:
        return tuple(_unpack(one, tensors, folder, model) for one in value["tuple"])
    if "tensor" in value:
        return tensors[value["tensor"]]
    if "store" in value:
        return Store.load(folder / value["store"], model)
    if "fitted on" in value:
        return SameModel(model)
    if "executor" in value:
        return executor(model, torch.zeros(model.card.input_shape, device=model.device))
    if "index" in value:
        rows = tensors[f"{value['index']}.rows"]
        index = ExactIndex(rows.shape[1], value["metric"])
        index.add(rows, tensors[f"{value['index']}.ids"])
        return index
    if "chain" in value:
        return nn.Sequential(*(_built(one, tensors) for one in value["chain"])).eval()
    if "layer" in value:
        return _built(value, tensors).eval()
    if "function" in value:
        return FUNCTIONS[value["function"]]
    parts = {name: _unpack(one, tensors, folder, model) for name, one in value["fields"].items()}
    return KINDS[value["kind"]](**parts)


def _built(facts: dict[str, Any], tensors: dict[str, Tensor]) -> nn.Module:
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
