"""Pictures of a user, read for a model."""

from __future__ import annotations

from pathlib import Path

from pixelproof.data import read_images
from pixelproof.errors import BadInput
from pixelproof.models import Classifier
from pixelproof.types import Images


def pictures(model: Classifier, path: Path) -> tuple[Images, tuple[str, ...]]:
    """The pictures at a path and their names; BadInput when the model expects another shape."""
    pixels, names = read_images(path, channels=model.card.input_shape[0])
    if tuple(pixels.shape[1:]) != model.card.input_shape:
        expected = f"{model.card.name} expects images {model.card.input_shape} (channels, height, width)"
        raise BadInput(str(path), expected, tuple(pixels.shape[1:]), "Resize or convert them first.")
    return pixels.float() / 255, tuple(names)
