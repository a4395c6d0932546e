"""One example: what the classifier says before and after, what every layer says, and what happened in one sentence."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pixelproof import lp
from pixelproof.explain.penultimate import drift
from pixelproof.views.explorer.catalog import Shown
from pixelproof.views.explorer.gallery import facts
from pixelproof.views.explorer.missing import Lacking
from pixelproof.views.explorer.pictures import pixels
from pixelproof.views.explorer.runs import layers
from pixelproof.views.explorer.shelf import Shelf

GUARDS = Lacking("guards", "This run does not know what its layers' neighbours say.", "Add [guards] to the study.")
SIGNATURES = Lacking("attributions", "This run holds no SHAP values.", "Add [signatures] to the study.")


def example(shelf: Shelf, name: str) -> dict[str, Any]:
    """Everything about an example but the bulk."""
    found, row = shelf.find(name)
    images = pixels(shelf, name)
    logits = shelf.model.predict(images)
    attacked = found.attack is not None
    change = (images[1] - images[0]) if attacked else None
    base = f"runs/{shelf.name}/examples/{name}"
    return {
        "id": name,
        "run": shelf.name,
        "set": facts(found),
        "index": int(found.index[row]),
        "label": int(found.labels[row]),
        "success": bool(found.success[row]),
        "success_8bit": bool(found.success_8bit[row]),
        "clean": output(logits[0]),
        "adversarial": output(logits[1]) if attacked else None,
        "distance": None if change is None else {norm: float(size) for norm, size in _distances(images).items()},
        "changed": None if change is None else int((change != 0).any(0).sum()),
        "pixels": {"href": f"{base}/pixels.f32", "shape": list(images.shape)},
        "layers": _layers(shelf, images),
        "detectors": [],
        "guard": GUARDS.answer(),
        "guard_note": "",
        "held_out": None,
        "sentence": sentence(shelf, found, row, logits),
        "attribution": SIGNATURES.answer(),
        "attackability": False,
    }


def output(logits: Tensor) -> dict[str, Any]:
    """Logits (k) with their softmax and the class of the highest."""
    return {
        "predicted": int(logits.argmax()),
        "logits": logits.tolist(),
        "probabilities": torch.softmax(logits.double(), 0).tolist(),
    }


def sentence(shelf: Shelf, found: Shown, row: int, logits: Tensor) -> str:
    """What happened, from the numbers alone."""
    names = shelf.clean.classes
    label, before = names[int(found.labels[row])], names[int(logits[0].argmax())]
    sure = [f"{100 * float(torch.softmax(each, 0).max()):.0f} %" for each in logits]
    taken = f"A '{label}' that the classifier takes for '{before}' ({sure[0]})"
    if found.attack is None:
        return f"{taken}. This is the clean image: nothing was changed."
    after = names[int(logits[1].argmax())]
    if not found.success[row]:
        return f"{taken}. {found.label} failed: the image it left is taken for '{after}' ({sure[1]})."
    rounded = "" if found.success_8bit[row] else " The success does not survive rounding to 8 bits."
    return f"{taken}. After {found.label} it is taken for '{after}' ({sure[1]}).{rounded}"


def _layers(shelf: Shelf, images: Tensor) -> list[dict[str, Any]]:
    moved = {}
    if len(images) == 2:
        found = drift(shelf.model, images[:1], images[1:], layers=[n for n in shelf.layers if "@" not in n])
        moved = {each.layer: {"norm": float(each.norm[0]), "cosine": float(each.cosine[0])} for each in found}
    return [
        {
            "name": layer["name"],
            "kind": layer["kind"],
            "width": layer["width"],
            "drift": moved.get(layer["name"]),
            "clean": None,
            "adversarial": None,
        }
        for layer in layers(shelf)
    ]


def _distances(images: Tensor) -> dict[str, Tensor]:
    return {norm: values[0] for norm, values in lp.distances(images[:1], images[1:]).items()}
