"""What `pixelproof attack` keeps: one attack with its images."""

from __future__ import annotations

from dataclasses import dataclass

from pixelproof.attacks import AdversarialSet


@dataclass(frozen=True, eq=False)
class AttackedRecord:
    """One attack on the images that a model gets right; `searched_on` is the network that a transfer searched on."""

    found: AdversarialSet
    searched_on: str = ""
