"""The list of runs, and one run's overview."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from pixelproof.web.contract.common import Answer, Rate


class RunCard(Answer):
    """One run in the list."""

    id: str
    name: str
    title: str
    about: str
    data: str
    net: str
    defences: tuple[str, ...]
    seed: int
    complete: bool = Field(description="False while the study still runs, or when it was interrupted.")
    finished: float | None = Field(description="Unix seconds; null when not complete.")
    digest: str = Field(description="Of the classifier's weights: equal digests are the same classifier.")
    clean_accuracy: Rate | None
    examples: int = Field(description="Examples with whole images in the run: the rows of its gallery.")
    attacks: tuple[str, ...]
    start: str | None = Field(description="An adversarial example to begin with: it fools the classifier.")
    exported: tuple[str, ...] | None = Field(
        default=None, description="The examples whose pages an exported copy holds; null where all can be asked for."
    )


class DamagedRun(Answer):
    """A run that cannot be read, and why."""

    name: str
    why: str


class Home(Answer):
    """Where the explorer begins."""

    version: str
    static: bool = Field(description="True in an exported copy: nothing but the files beside it can be asked for.")
    live: bool
    runs: tuple[RunCard, ...]
    damaged: tuple[DamagedRun, ...] = Field(description="Runs that are left out.")


class LayerCard(Answer):
    """A layer that can be looked at; `judged` where the run holds what it says about examples."""

    name: str
    kind: str = Field(description="conv, dense, flatten, or composed (all judged layers together).")
    width: int = Field(description="Values per image.")
    judged: bool


class Part(Answer):
    """A part that a run may hold, and how to get it."""

    name: str
    available: bool
    about: str
    add: str


class ClassRow(Answer):
    """One class on the clean test images."""

    name: str
    n: int
    correct: int
    precision: float
    recall: float
    f1: float


class RunPage(Answer):
    """A run: classifier, data, settings, versions, and which parts it holds."""

    card: RunCard
    classes: tuple[str, ...]
    shape: tuple[int, int, int] = Field(description="Channels, height, width of an image.")
    parameters: int
    layers: tuple[LayerCard, ...]
    parts: tuple[Part, ...]
    per_class: tuple[ClassRow, ...]
    history: dict[str, Any] | None
    settings: dict[str, Any]
    facts: dict[str, Any]
    training_images: bool = Field(description="Whether the training images are on disk, for thumbnails.")
