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

    class_name: ClassName
    n: int = Field(description="Clean test images of this class.")
    correct: int = Field(description="Those that are classified correctly.")
    precision: float
    recall: float
    f1: float


class Macro(Answer):
    """Unweighted means over the classes."""

    precision: float
    recall: float
    f1: float


class Facts(Answer):
    """How and where a run was made; what an unfinished run does not know yet is null or empty."""

    model_config = ConfigDict(extra="allow")  # a newer version may have kept more

    finished: float | None = Field(default=None, description="Unix seconds.")
    versions: dict[str, str] = Field(default={}, description="Of Python and of the packages that numbers come from.")
    revision: str | None = Field(default=None, description="Of the checkout; null or empty where there was none.")
    machine: str = ""
    threads: int | None = None
    device: str = ""
    seconds: dict[str, float] = Field(default={}, description="By stage of the study.")


class Overview(Answer):
    """Title, settings, classifier, clean scores and the facts of a run."""

    name: str
    title: str
    about: str
    seed: int
    data: str
    classes: tuple[str, ...]
    net: str
    parameters: int
    size_bytes: int = Field(description="Of the weights.")
    seconds_per_image: float = Field(description="Inference, in batches.")
    digest: str = Field(description="Of the classifier's weights: equal digests are the same classifier.")
    clean_accuracy: Rate = Field(description="Of all clean test images.")
    macro: Macro
    per_class: tuple[ClassRow, ...]
    spec: dict[str, object] = Field(description="The study, as it was asked for.")
    facts: Facts


def overview(opened: OpenRun) -> Overview:
    """What a run is about; Lacking when the study has not come as far as the clean images."""
    run, clean = opened.run, opened.clean
    right = clean.labels == clean.predicted
    scores = Scores.of(confusion(clean.labels, clean.predicted, len(clean.classes)))
    offered = torch.bincount(clean.labels, minlength=len(clean.classes)).tolist()
    correct = torch.bincount(clean.labels[right], minlength=len(clean.classes)).tolist()
    rows = zip(
        clean.classes, offered, correct, scores.precision.tolist(), scores.recall.tolist(), scores.f1.tolist(),
        strict=True,
    )  # fmt: skip
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
            ClassRow(class_name=name, n=n, correct=hits, precision=precision, recall=recall, f1=f1)
            for name, n, hits, precision, recall, f1 in rows
        ),
        spec=dict(run.spec),
        facts=Facts.model_validate(run.facts),
    )
