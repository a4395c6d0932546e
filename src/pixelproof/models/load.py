"""Classifiers by name: the papers' networks, a saved model, or your own code and weights."""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from pixelproof import specs
from pixelproof.data import Dataset, cache_folder
from pixelproof.errors import BadInput, RunError, UnknownName
from pixelproof.models.card import Card
from pixelproof.models.classes import aligned
from pixelproof.models.classifier import Classifier
from pixelproof.models.code import built, timm_network
from pixelproof.models.exported import read_program
from pixelproof.models.nets import NETS, build
from pixelproof.models.saving import has_card, open_saved, read_saved, restored, save
from pixelproof.models.train import Progress, Training, train
from pixelproof.models.weights import fill, read_weights
from pixelproof.models.wrapping import probe

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
    - "model.safetensors": a classifier that `save` wrote; it has its weights.
    - "my_model.py:build": your function or class, called without arguments, plus `weights`; what it gives may be
      wrapped already.
    - "program.pt2": a torch.export program, plus `weights` where it was trained further.
    - "timm:NAME": a timm model (extra), its normalisation included.

    Weights are safetensors, or a state dict read by torch.load(weights_only=True), alone or in a checkpoint; an
    exported program is inspected before torch may read it. Nothing is unpickled, and only the .py file you name is run,
    with what it imports. Class names are those of `data`: `aligned` says when they are compared and reordered.
    """
    place = pick_device(device)
    if spec in NETS:
        return _own(spec, data, weights, training, place, progress)
    if spec.endswith(".safetensors"):
        if weights is not None:
            raise BadInput(spec, "holds its own weights", f"others in {weights}", "Leave out one of the two.")
        saved = open_saved(Path(spec), place)
        return saved if data is None or data.shape != saved.card.input_shape else aligned(saved, data).eval()
    if spec.startswith("timm:"):
        net, mean, std = timm_network(spec.removeprefix("timm:"), pretrained=weights is None)
        return _foreign(net, spec, data, weights, place, (mean, std))
    if spec.endswith(".pt2"):
        return _foreign(read_program(Path(spec)), spec, data, weights, place)
    path, colon, attribute = spec.rpartition(":")
    if colon and path.endswith(".py"):
        return _foreign(built(Path(path), attribute), spec, data, weights, place)
    raise _unknown(spec)


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
        place = torch.device(device)
    except RuntimeError as reason:
        raise UnknownName("device", "device", device, ("auto", "cpu", "cuda")) from reason
    if place.type not in ("cpu", "cuda"):
        raise UnknownName("device", "device", device, ("auto", "cpu", "cuda"))
    if place.type == "cuda" and (place.index or 0) >= torch.cuda.device_count():
        raise BadInput("device", f"torch sees {torch.cuda.device_count()} GPUs", device, "Count from cuda:0.")
    return place


def _unknown(spec: str) -> UnknownName | BadInput:
    """What to do about a file of another kind, or a name that is none."""
    kind = Path(spec).suffix.lower()
    if kind in (".pt", ".pth", ".ckpt", ".bin"):
        do = "Weights need a network: --model my_model.py:build --weights FILE; TorchScript is loaded inside build()."
    elif kind == ".onnx":
        do = "Export the network with torch.export to a .pt2 file, or run it inside a module of your own .py file."
    elif kind == ".py":
        return BadInput("model", "a .py file needs the name of what builds the network", spec, f"Write {spec}:build.")
    else:
        return UnknownName("model", "network, file or 'my_model.py:build'", spec, NETS)
    return BadInput("model", "expected a network's name, .safetensors, .pt2 or 'my_model.py:build'", f"'{spec}'", do)


def _needed(spec: str, data: Dataset | None) -> Dataset:
    if data is None:
        raise BadInput(spec, "needs data, for its image shape and classes", "none", "Pass data=..., or --data.")
    return data


def _own(
    name: str,
    data: Dataset | None,
    weights: str | Path | None,
    training: Training | None,
    device: torch.device,
    progress: Progress | None,
) -> Classifier:
    data = _needed(name, data)
    training = training or suited(name, len(data))
    net = build(name, data.shape, len(data.classes), training.seed)
    card = Card(name=name, classes=data.classes, input_shape=data.shape, data=data.name)
    classifier = Classifier(net, card).to(device).eval()
    if weights is not None:
        return _filled(classifier, name, Path(weights), data).to(device).eval()
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
    data = _needed(spec, data)
    if type(net) is Classifier:
        classifier = net.carrying(name=spec, data=data.name)
        if classifier.card.input_shape != data.shape:
            expected = f"the images of {data.name} must have its shape {classifier.card.input_shape}"
            raise BadInput(spec, expected, data.shape, "Check input_shape, or resize the images.")
        classifier = aligned(classifier, data)
    else:
        mean, std = normalisation
        card = Card(name=spec, classes=data.classes, input_shape=data.shape, data=data.name)
        classifier = Classifier(net, card, mean=mean, std=std)
    if weights is not None:
        classifier = _filled(classifier, spec, Path(weights), data)
    classifier = classifier.to(device)
    probe(classifier)
    return classifier.eval()


def _filled(bare: Classifier, name: str, weights: Path, data: Dataset) -> Classifier:
    """`bare` with weights: bare ones, or a whole classifier that `save` wrote, with all that stood before it."""
    if not has_card(weights):
        fill(bare.net, read_weights(weights), weights)
        return bare
    card, tensors, scales = read_saved(weights)
    return aligned(restored(bare, (replace(card, name=name), tensors, scales), weights), data)
