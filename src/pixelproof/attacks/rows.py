"""The images of a batch that an attack is still working on, with everything it keeps for each of them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, TypeVar

from torch import Tensor

from pixelproof.attacks.watch import Watched
from pixelproof.draws import Draws
from pixelproof.types import Goal

Same = TypeVar("Same")


@dataclass
class Rows:
    """A state of which every field has one row per image: tensors, goals, watched models and draws alike.

    Images leave the batch by `rows = rows[stay]`, whatever the attack keeps.
    """

    def __getitem__(self: Same, stay: Tensor) -> Same:
        """The state of the images at a mask or at positions."""
        whole: Any = self
        taken = [_taken(getattr(self, field.name), stay) for field in fields(whole)]
        return type(self)(*taken)


def _taken(value: Any, stay: Tensor) -> Any:
    if isinstance(value, Draws):
        return value[stay.cpu()]
    if isinstance(value, Tensor | Goal | Watched):
        return value[stay]
    raise TypeError(f"a row of {type(value).__name__}")
