"""What a run is about: its classifier, its scores on clean images, its settings and the facts of its making."""

from __future__ import annotations

import torch
from pydantic import ConfigDict, Field

from pixelproof.scores import Scores, confusion
from pixelproof.types import Rate
from pixelproof.views.answer import Answer, ClassName
from pixelproof.views.open_run import OpenRun


class ClassRow(Answer):
    """One class on the clean test images."""

    class_name: ClassName = Field(description="True class.")
    n: int = Field(description="Clean test images of this class.")
    correct: int = Field(description="Those that are classified correctly.")
    precision: float | None = Field(
        description="Share of the images taken for it that are of it; null, as the others, where it does not occur."
    )
    recall: float | None = Field(description="Share of this class's images that are taken for it.")
    f1: float | None = Field(description="Harmonic mean of precision and recall.")


class Macro(Answer):
    """Unweighted means over the classes."""

    precision: float = Field(description="Share of the images taken for a class that are of it.")
    recall: float = Field(description="Share of a class's images that are taken for it.")
    f1: float = Field(description="Harmonic mean of precision and recall.")


class Facts(Answer):
    """How and where a run was made; what an unfinished run does not know yet is null or empty."""

    model_config = ConfigDict(extra="allow")  # a newer version may have kept more

    finished: float | None = Field(default=None, description="Unix seconds.")
    versions: dict[str, str] = Field(default={}, description="Of Python and of the packages that numbers come from.")
    revision: str | None = Field(default=None, description="Of the checkout; null or empty where there was none.")
    machine: str = Field(default="", description="Operating system and processor.")
    threads: int | None = Field(default=None, description="That torch computed with.")
    device: str = Field(default="", description="Where the network ran: cpu or cuda.")
    seconds: dict[str, float] = Field(default={}, description="By stage of the study.")


class Overview(Answer):
    """Title, settings, classifier, clean scores and the facts of a run."""

    name: str = Field(description="Of the study.")
    title: str = Field(description="Of the study.")
    about: str = Field(description="What the study asks, in its own words.")
    seed: int = Field(description="That every random number was drawn with.")
    data: str = Field(description="Name of the data set.")
    classes: tuple[str, ...] = Field(description="Names in the order of the logits.")
    net: str = Field(description="Name of the network.")
    parameters: int = Field(description="Numbers that training sets.")
    size_bytes: int = Field(description="Of the weights.")
    seconds_per_image: float = Field(description="Inference, in batches.")
    digest: str = Field(description="Of the classifier's weights: equal digests are the same classifier.")
    clean_accuracy: Rate = Field(description="Of all clean test images.")
    macro: Macro = Field(description="Over the classes, on all clean test images.")
    per_class: tuple[ClassRow, ...] = Field(description="In the order of the classes.")
    spec: dict[str, object] = Field(description="The study, as it was asked for.")
    facts: Facts = Field(description="Of the run's making.")


def overview(opened: OpenRun) -> Overview:
    """What a run is about; Lacking when the study has not come as far as the clean images."""
    run, clean = opened.run, opened.clean
    right = clean.labels == clean.predicted
    scores = Scores.of(confusion(clean.labels, clean.predicted, len(clean.classes)))
    offered = torch.bincount(clean.labels, minlength=len(clean.classes)).tolist()
    correct = torch.bincount(clean.labels[right], minlength=len(clean.classes)).tolist()
    return Overview(
        name=run.spec["name"],
        title=run.spec["title"],
        about=run.spec["about"],
        seed=run.spec["seed"],
        data=clean.data,
        classes=clean.classes,
        net=run.spec["model"]["net"],
        parameters=clean.parameters,
        size_bytes=clean.size_bytes,
        seconds_per_image=clean.seconds_per_image,
        digest=clean.digest,
        clean_accuracy=Rate(int(right.sum()), len(right)),
        macro=Macro(**scores.macro),
        per_class=tuple(
            ClassRow(class_name=name, n=n, correct=hits, **scores.of_class(k))
            for k, (name, n, hits) in enumerate(zip(clean.classes, offered, correct, strict=True))
        ),
        spec=dict(run.spec),
        facts=Facts.model_validate(run.facts),
    )
