"""What can be checked only when the network and the images are there, but before anything is attacked."""

from __future__ import annotations

from math import prod

from pixelproof.errors import BadInput, UnknownName
from pixelproof.study.context import Context


def check_settings(context: Context) -> None:
    """Refuse layers that the network does not have, and more critical pixels than an image has."""
    study, model = context.study, context.model
    for name, section in (("signatures", study.signatures), ("guards", study.guards)):
        for layer in () if section is None else section.layers:
            if layer not in model.layers:
                raise UnknownName(name, "layer", layer, model.layers)
    pixels = prod(model.card.input_shape[1:])
    if study.signatures is not None and study.signatures.k[-1] > pixels:
        do = f"An image has {pixels} pixels."
        raise BadInput("signatures", f"k must be at most {pixels}", study.signatures.k[-1], do)
