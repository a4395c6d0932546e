"""Nothing given is dropped: what would have no effect in a combination is refused."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pixelproof.errors import BadInput


def check_data_dir(folder: Path | None, names: Iterable[str]) -> None:
    """Refuse --data-dir where no data set is looked for there: digits come with pixelproof, a path is a path."""
    from pixelproof.data.sources import SOURCES

    given = list(dict.fromkeys(names))
    if folder is not None and not any(name in SOURCES for name in given):
        expected = f"only {', '.join(SOURCES)} are looked for in a folder"
        raise BadInput("--data-dir", expected, ", ".join(given), "Leave --data-dir out.")


def check_seed(seed: int | None, model: str, weights: Path | None) -> None:
    """Refuse --seed where nothing is drawn: the command asks nothing random, and the model is not trained here."""
    from pixelproof.models import NETS

    if seed is not None and (model not in NETS or weights is not None):
        do = "Leave --seed out."
        raise BadInput("--seed", "only a network that is trained here draws random numbers", f"'{model}'", do)


def check_training(settings: str) -> None:
    """Refuse a seed among the settings of --training: --seed is the one that counts."""
    from pixelproof import specs
    from pixelproof.models import Training

    if "seed" in specs.given(f"training:{settings}", {Training.name: Training}):
        raise BadInput("--training", "its seed is that of --seed", f"'{settings}'", "Give --seed instead.")
