"""A classifier as one safetensors file, and back: weights, normalisation, and a card in the header."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor

from pixelproof import specs
from pixelproof.data.files import check_plain
from pixelproof.errors import BadInput, CorruptFile, PixelproofError
from pixelproof.models.card import Card
from pixelproof.models.classifier import Classifier
from pixelproof.models.nets import NETS, build
from pixelproof.models.preprocessors import PREPROCESSORS
from pixelproof.models.weights import fill
from pixelproof.tensorfile import Fault, opened, write_tensors

Normalisation: TypeAlias = dict[str, list[list[float]]]
Saved: TypeAlias = tuple[Card, dict[str, Tensor], Normalisation]

EARLIER: Mapping[str, str] = {"fronts": "preprocessors"}  # what files of earlier builds call a field of the card
LARGEST_IMAGE = 64 * 2**20  # values; bounds of what a card may ask for before a weight has been read
MOST_CLASSES = 2**20
MOST_BEFORE = 16


def save(classifier: Classifier, path: str | Path) -> None:
    """Write a classifier's weights, normalisation and card as a single safetensors file, atomically.

    One of our own networks is loaded again from the file alone; of yours the file holds everything but the code:
    load("my_model.py:build", weights=path). Raises BadInput for what cannot be saved, see `check_savable`.
    """
    check_savable(classifier)
    parts = ((name, part) for name, part in classifier.named_modules() if isinstance(part, Classifier))
    scales = {name: part.normalisation for name, part in parts if part.normalised}
    notes = {"card": json.dumps(asdict(classifier.card)), "normalisation": json.dumps(scales)}
    write_tensors(Path(path), classifier.state_dict(), notes)


def check_savable(classifier: Classifier) -> None:
    """Refuse a classifier whose state is not all plain tensors (a quantised network's is not), before it is trained."""
    for name, value in classifier.state_dict().items():
        if not isinstance(value, Tensor) or value.is_quantized or value.is_sparse or value.is_meta:
            kind = "a quantised tensor" if isinstance(value, Tensor) and value.is_quantized else type(value).__name__
            do = "Train and save the network before it is quantised or packed."
            raise BadInput(classifier.card.name, "weights must be plain tensors to be saved", f"{kind} '{name}'", do)


def open_saved(path: str | Path, device: torch.device) -> Classifier:
    """A classifier of ours that `save` wrote, with everything that stands before its network."""
    kept = read_saved(path)
    card = kept[0]
    if card.name not in NETS:
        do = f"Load the network with them: --model {card.name} --weights {path}."
        raise BadInput(str(path), "holds the weights of a network of your own", f"'{card.name}'", do)
    with torch.device("meta"):
        wanted = sum(tensor.numel() for tensor in NETS[card.name](card.input_shape, len(card.classes)).parameters())
    if wanted > (given := sum(tensor.numel() for tensor in kept[1].values())):
        raise CorruptFile(str(path), f"expected the {wanted:,} weights of the network on its card", f"{given:,}")
    net = build(card.name, card.input_shape, len(card.classes), 0)
    return restored(Classifier(net, replace(card, preprocessors=())), kept, Path(path)).to(device).eval()


def read_saved(path: str | Path) -> Saved:
    """The card, the tensors and the normalisation (by module name) of a file that `save` wrote."""
    path = Path(path)
    check_plain(path, "model")
    try:
        with opened(path) as file:
            if "card" not in file.notes:
                raise ValueError("a file without a card")
            card = read_card(json.loads(file.notes["card"]))
            scales = _scales(json.loads(file.notes.get("normalisation", "{}")))
            return card, file.tensors(), scales
    except Fault as reason:
        raise CorruptFile(
            str(path), "expected weights with a card", reason, "For bare weights: --model NAME --weights FILE."
        ) from reason


def read_card(values: Any) -> Card:
    """A card from its JSON; ValueError, which says what, for a value that cannot be one or is out of all bounds."""
    if not isinstance(values, dict):
        raise ValueError(f"a card that is a {type(values).__name__}")
    found: dict[str, Any] = {
        EARLIER.get(key, key): tuple(value) if isinstance(value, list) else value for key, value in values.items()
    }
    unknown = set(found) - {field.name for field in fields(Card)}
    if unknown:
        raise ValueError(f"a card with an unknown entry '{min(unknown)}'")
    for key in ("classes", "defences", "preprocessors"):
        names = found.get(key, ())
        if not isinstance(names, tuple) or not all(isinstance(name, str) for name in names):
            raise ValueError(f"a card whose {key} are no list of names")
    for key in ("name", "data", "parent"):
        if not isinstance(found.get(key, ""), str):
            raise ValueError(f"a card whose {key} is no text")
    for key in ("seed", "accuracy", "cost"):
        if not isinstance(found.get(key), int | float | None):
            raise ValueError(f"a card whose {key} is no number")
    for key in ("stochastic", "batch_dependent"):
        if not isinstance(found.get(key, False), bool):
            raise ValueError(f"a card whose {key} is neither true nor false")
    shape = found.get("input_shape")
    if not isinstance(shape, tuple) or len(shape) != 3 or not all(type(side) is int and side > 0 for side in shape):
        raise ValueError("a card whose input_shape is not three whole numbers")
    if shape[0] * shape[1] * shape[2] > LARGEST_IMAGE or not 2 <= len(found["classes"]) <= MOST_CLASSES:
        raise ValueError(f"a card for images {shape} of {len(found['classes'])} classes")
    if len(found.get("preprocessors", ())) > MOST_BEFORE:
        raise ValueError(f"a card with more than {MOST_BEFORE} preprocessors")
    return Card(**found)


def _scales(values: Any) -> Normalisation:
    """The normalisation of each part from its JSON; ValueError for anything else."""
    if not isinstance(values, dict):
        raise ValueError(f"a normalisation that is a {type(values).__name__}")
    for pair in values.values():
        rows = pair if isinstance(pair, list) and len(pair) == 2 else [None]
        if not all(isinstance(row, list) and all(isinstance(value, int | float) for value in row) for row in rows):
            raise ValueError("a normalisation that is not a mean and a std for each part")
    return values


def restored(bare: Classifier, kept: Saved, path: Path) -> Classifier:
    """`bare` with the card's preprocessors before it, its weights, its normalisation and its card.

    Raises CorruptFile for weights that cannot be those of a committee as large as the card says, BadInput for others
    that do not fit.
    """
    card, tensors, scales = kept
    classifier = bare
    try:
        for spec in reversed(card.preprocessors):
            preprocessor = specs.parse(spec, PREPROCESSORS, "preprocessor")
            members = getattr(preprocessor, "members", 1)
            if members > 1 and members * len(classifier.state_dict()) > len(tensors):
                got = f"{len(tensors)} tensors for {members} members"
                raise CorruptFile(str(path), "expected the weights of every member", got)
            classifier = preprocessor.around(classifier)
    except (ValueError, MemoryError, RuntimeError) as reason:
        detail = reason if isinstance(reason, PixelproofError) else type(reason).__name__
        raise CorruptFile(str(path), "expected a card with known preprocessors", str(detail).rstrip(".")) from reason
    own = classifier.state_dict()
    renamed = {name.replace("net.preprocessor.", "net.front."): name for name in own if name not in tensors}
    fill(classifier, {renamed.get(name, name): tensor for name, tensor in tensors.items()}, path)
    for name, part in classifier.named_modules():
        if isinstance(part, Classifier) and name in scales:
            part.set_normalisation(*scales[name])
    return classifier.carrying(**vars(card))


def has_card(path: Path) -> bool:
    """Whether a weights file was written by `save`."""
    if path.suffix != ".safetensors" or not path.is_file():
        return False
    try:
        with opened(path) as file:
            return "card" in file.notes
    except Fault:
        return False  # the reader that follows says what is wrong with it
