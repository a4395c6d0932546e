"""Classifiers by name: the papers' networks, a saved model, or your own code and weights."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import sys
import warnings
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from pixelproof import specs
from pixelproof.data import Dataset, cache_folder
from pixelproof.errors import BadInput, CorruptFile, RunError, UnknownName
from pixelproof.models.classifier import Card, Classifier, probe
from pixelproof.models.exported import read_program
from pixelproof.models.nets import NETS, build
from pixelproof.models.preprocessors import PREPROCESSORS
from pixelproof.models.train import Progress, Training, train
from pixelproof.tensorfile import write_tensors

Normalisation: TypeAlias = dict[str, list[list[float]]]
Saved: TypeAlias = tuple[Card, dict[str, Tensor], Normalisation]

Device = Literal["auto", "cpu", "cuda"]


def load(
    spec: str,
    *,
    data: Dataset | None = None,
    weights: str | Path | None = None,
    training: Training | None = None,
    device: str = "auto",
    progress: Progress | None = None,
) -> Classifier:
    """The classifier that `spec` names, ready for use in evaluation mode.

    - "cnn", "mlp", "masking-cnn", "cifar-cnn", "resnet18": built for the shape of `data`; with `weights` these are
      loaded, else the network is trained on `data` (and kept in the cache under data, settings and seed).
    - "model.safetensors": a classifier that `save` wrote.
    - "my_model.py:build": your function or class, called without arguments, plus `weights`.
    - "program.pt2": a torch.export program.   - "timm:NAME": a timm model (extra), its normalisation included.

    Weights are safetensors, or a state dict read by torch.load(weights_only=True); an exported program is inspected
    before torch may read it. Nothing is unpickled, and only the .py file you name is run.
    """
    place = pick_device(device)
    if spec in NETS:
        return _own(spec, data, weights, training, place, progress)
    if spec.endswith(".safetensors"):
        return open_saved(Path(spec), place)
    if spec.startswith("timm:"):
        net, mean, std = _timm(spec.removeprefix("timm:"), pretrained=weights is None)
        return _foreign(net, spec, data, weights, place, (mean, std))
    if spec.endswith(".pt2"):
        return _foreign(read_program(Path(spec)), spec, data, None, place)
    path, colon, attribute = spec.rpartition(":")
    if colon and path.endswith(".py"):
        return _foreign(_imported(Path(path), attribute), spec, data, weights, place)
    raise UnknownName("model", "network, file or 'my_model.py:build'", spec, NETS)


def suited(name: str, images: int) -> Training:
    """Training settings that fit a network of ours and a number of training images, where none are asked for.

    Small sets get more epochs in smaller batches; the colour networks get more epochs and mirrored images.
    """
    if name in ("cifar-cnn", "resnet18"):
        return Training(epochs=16, augment="flip")
    if images < 10_000:
        return Training(epochs=max(3, min(20, 60_000 // images)), batch=32)
    return Training()


def pick_device(device: str) -> torch.device:
    """The device a name stands for; "auto" is CUDA when there is one."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise BadInput("device", "CUDA needs a GPU that torch can see", "none", "Use --device cpu.")
    try:
        return torch.device(device)
    except RuntimeError as reason:
        raise UnknownName("device", "device", device, ("auto", "cpu", "cuda")) from reason


def save(classifier: Classifier, path: str | Path) -> None:
    """Write a classifier's weights, normalisation and card as a single safetensors file, atomically.

    One of our own networks is loaded again from the file alone; of yours the file holds everything but the code:
    load("my_model.py:build", weights=path).
    """
    tensors = classifier.state_dict()
    parts = ((name, part) for name, part in classifier.named_modules() if isinstance(part, Classifier))
    scales = {name: part.normalisation for name, part in parts if part.normalised}
    notes = {"card": json.dumps(asdict(classifier.card)), "normalisation": json.dumps(scales)}
    write_tensors(Path(path), tensors, notes)


def open_saved(path: Path, device: torch.device) -> Classifier:
    """A classifier of ours that `save` wrote, with everything that stands before its network."""
    kept = _saved(path)
    card = kept[0]
    if card.name not in NETS:
        do = f"Load the network with them: --model {card.name} --weights {path}."
        raise BadInput(str(path), "holds the weights of a network of your own", f"'{card.name}'", do)
    net = build(card.name, card.input_shape, len(card.classes), 0)
    return _restored(Classifier(net, replace(card, preprocessors=())), kept, path).to(device).eval()


def _saved(path: Path) -> Saved:
    """The card, the tensors and the normalisation (by module name) of a file that `save` wrote."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            notes = file.metadata() or {}
            fields: dict[str, Any] = json.loads(notes["card"])
            scales: Normalisation = json.loads(notes.get("normalisation", "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if "fronts" in fields:  # the key's name in files of 0.1 to 0.3
            fields["preprocessors"] = fields.pop("fronts")
        values: Any = {key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()}
        return Card(**values), tensors, scales
    except FileNotFoundError as reason:
        raise BadInput("model", "the file must exist", path) from reason
    except (OSError, safetensors.SafetensorError, KeyError, TypeError, ValueError) as reason:
        raise CorruptFile(
            str(path), "expected weights with a card", reason, "For bare weights: --model NAME --weights FILE."
        ) from reason


def _restored(bare: Classifier, kept: Saved, path: Path) -> Classifier:
    """`bare` with the card's preprocessors before it, its weights, its normalisation and its card."""
    card, tensors, scales = kept
    classifier = bare
    for spec in reversed(card.preprocessors):
        classifier = specs.parse(spec, PREPROCESSORS, "preprocessor").around(classifier)
    own = classifier.state_dict()
    renamed = {name.replace("net.preprocessor.", "net.front."): name for name in own if name not in tensors}
    _fill(classifier, {renamed.get(name, name): tensor for name, tensor in tensors.items()}, path)
    for name, part in classifier.named_modules():
        if isinstance(part, Classifier) and name in scales:
            part.set_normalisation(*scales[name])
    return classifier.carrying(**vars(card))


def _carded(path: Path) -> bool:
    """Whether a weights file was written by `save`."""
    if path.suffix != ".safetensors" or not path.is_file():
        return False
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return "card" in (file.metadata() or {})
    except (OSError, safetensors.SafetensorError):
        return False  # the reader that follows says what is wrong with it


def _own(
    name: str,
    data: Dataset | None,
    weights: str | Path | None,
    training: Training | None,
    device: torch.device,
    progress: Progress | None,
) -> Classifier:
    if data is None:
        raise BadInput(name, "needs data, for its image shape and classes", "none", "Pass data=..., or --data.")
    training = training or suited(name, len(data))
    net = build(name, data.shape, len(data.classes), training.seed)
    card = Card(name=name, classes=data.classes, input_shape=data.shape, data=data.name)
    classifier = Classifier(net, card).to(device).eval()
    if weights is not None and _carded(Path(weights)):
        return _restored(classifier, _saved(Path(weights)), Path(weights)).to(device).eval()
    if weights is not None:
        _fill(classifier.net, _tensors(Path(weights)), Path(weights))
        return classifier
    key = f"{name}|{data.digest()}|{specs.write(training)}|{torch.__version__}"
    cached = (
        cache_folder() / "models" / f"{name}-{data.name}-{hashlib.sha256(key.encode()).hexdigest()[:16]}.safetensors"
    )
    if cached.is_file():
        return open_saved(cached, device)
    train(classifier, data, None, training, progress=progress)
    try:
        save(classifier, cached)
    except RunError as reason:
        warnings.warn(f"the trained network is not kept: {reason}", stacklevel=3)
    return classifier


def _foreign(
    net: nn.Module,
    spec: str,
    data: Dataset | None,
    weights: str | Path | None,
    device: torch.device,
    normalisation: tuple[tuple[float, ...], tuple[float, ...]] = ((), ()),
) -> Classifier:
    if data is None:
        raise BadInput(spec, "needs data, for its image shape and classes", "none", "Pass data=..., or --data.")
    mean, std = normalisation
    card = Card(name=spec, classes=data.classes, input_shape=data.shape, data=data.name)
    classifier = Classifier(net, card, mean=mean, std=std)
    if weights is not None and _carded(Path(weights)):
        kept, tensors, scales = _saved(Path(weights))
        classifier = _restored(classifier, (replace(kept, name=spec), tensors, scales), Path(weights))
    elif weights is not None:
        _fill(net, _tensors(Path(weights)), Path(weights))
    classifier = classifier.to(device)
    probe(classifier)
    return classifier.eval()


def _tensors(path: Path) -> dict[str, Tensor]:
    """A state dict from a safetensors file, or from a torch file read with weights_only=True."""
    if not path.is_file():
        raise BadInput("weights", "the file must exist", path)
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        found = torch.load(path, weights_only=True, map_location="cpu")
    except Exception as reason:  # torch and safetensors raise many kinds for a damaged or unsafe file
        what = (str(reason).splitlines() or [type(reason).__name__])[0][:120]
        raise CorruptFile(str(path), "expected safetensors or a plain state dict", what) from reason
    if not isinstance(found, dict) or not all(isinstance(tensor, Tensor) for tensor in found.values()):
        raise CorruptFile(str(path), "expected a state dict (names to tensors)", type(found).__name__)
    return found


def _fill(module: nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    try:
        module.load_state_dict(tensors)
    except RuntimeError as reason:
        detail = " ".join(str(reason).split())[:300]
        raise BadInput(
            str(path), "weights must fit the network", detail, "Check the network and its sizes."
        ) from reason


def _imported(path: Path, attribute: str) -> nn.Module:
    if not path.is_file():
        raise BadInput("model", "the file must exist", path)
    spec = importlib.util.spec_from_file_location(f"_pixelproof_model_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their own module up while it runs
    try:
        spec.loader.exec_module(module)
    except Exception as reason:
        raise BadInput(str(path), "must import without error", f"{type(reason).__name__}: {reason}") from reason
    if attribute not in vars(module):
        raise UnknownName(str(path), "function or class", attribute, [name for name in vars(module) if name[0] != "_"])
    made = vars(module)[attribute]
    try:
        net: Any = made if isinstance(made, nn.Module) else made()
    except Exception as reason:
        what = f"{type(reason).__name__}: {reason}"
        raise BadInput(f"{path}:{attribute}", "must build a network when called without arguments", what) from reason
    if not isinstance(net, nn.Module):
        raise BadInput(f"{path}:{attribute}", "must give a torch.nn.Module", type(net).__name__)
    return net


def _timm(name: str, *, pretrained: bool) -> tuple[nn.Module, tuple[float, ...], tuple[float, ...]]:
    try:
        import timm
    except ImportError as reason:
        raise BadInput("timm", "needs the extra", "no timm", "pip install 'pixelproof[timm]'.") from reason
    if not timm.is_model(name):
        raise UnknownName("timm", "timm model", name, timm.list_models())
    net = timm.create_model(name, pretrained=pretrained)
    settings = net.pretrained_cfg
    return net, tuple(settings["mean"]), tuple(settings["std"])
