"""The model that a command names, trained first where it is a network of pixelproof's own without weights."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from pixelproof.cli.progress import Tell
from pixelproof.cli.refusals import check_data_dir

if TYPE_CHECKING:
    from pixelproof.data import Dataset
    from pixelproof.models import Classifier


def chosen_model(
    name: str, weights: Path | None, data_name: str, data_dir: Path | None, device: str, seed: int, tell: Tell
) -> Classifier:
    """The model of a command: its training set is read only when it must be trained."""
    from pixelproof import data, models

    check_data_dir(data_dir, (data_name,))
    trained_here = name in models.NETS and weights is None
    shapes: Dataset = data.load(data_name, "train" if trained_here else "test", data_dir)
    return models.load(
        name,
        data=shapes,
        weights=weights,
        training=dataclasses.replace(models.suited(name, len(shapes)), seed=seed) if trained_here else None,
        device=device,
        progress=lambda done, total, note: tell(f"train {name}", done, total, note),
    )
