"""The stages that make the classifier and look at it on clean images."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Literal

import torch

from pixelproof import data, models
from pixelproof.data import Dataset
from pixelproof.errors import RunError
from pixelproof.models import Card, Classifier, History
from pixelproof.models.nets import build
from pixelproof.results import CleanRecord, catalogue
from pixelproof.study.context import Context


def train(context: Context) -> None:
    """The classifier: the one in the run, the one with given weights, or a newly trained one."""
    section, run = context.study.model, context.run
    if section.net not in models.NETS or section.weights:
        device = str(context.device)
        context.model = models.load(section.net, data=context.test, weights=section.weights, device=device)
        return
    if catalogue.HISTORY.has(run) and catalogue.MODEL.path(run).is_file():
        context.model = models.open_saved(catalogue.MODEL.path(run), context.device)
        return
    context.model, history = trained(context, "train")
    models.save(context.model, catalogue.MODEL.path(run))
    catalogue.HISTORY.save(run, history)


def trained(context: Context, stage: str, *, further: int = 0) -> tuple[Classifier, History]:
    """A newly trained classifier of the study's kind; `further` gives one of another seed."""
    training, validation = load(context, "train"), load(context, "val")
    net = context.study.model.net
    card = Card(name=net, classes=training.classes, input_shape=training.shape)
    settings = context.study.trainer(len(training))
    settings = replace(settings, seed=(settings.seed + further) % 2**63)
    layers = build(net, training.shape, len(training.classes), settings.seed)
    model = Classifier(layers, card).to(context.device)
    history = models.train(
        model,
        training,
        validation,
        settings,
        progress=lambda done, total, note: context.tell(stage, done, total, note),
    )
    return model, history


def retrained(context: Context, stage: str, number: int) -> Classifier:
    """The study's classifier trained once more with another seed; kept in the run."""
    path = catalogue.RETRAINED.path(context.run, number=number)
    if not path.is_file():
        model, _ = trained(context, f"{stage}: train again ({number})", further=number)
        models.save(model, path)
    return models.open_saved(path, context.device)


def load(context: Context, split: Literal["train", "val"]) -> Dataset:
    """The training images that the study asks for, or all validation images."""
    found = data.load(context.study.data.name, split, context.root)
    limit = context.study.data.train
    return found if limit is None or split == "val" else found.sample(limit, context.study.seed)


def clean(context: Context) -> None:
    """Predictions on the clean test images; a run that was begun with another model or other data is refused.

    Digests of earlier builds are compared by their own rule; those did not keep that of the training images.
    """
    run, model, test, train = context.run, context.model, context.test, load(context, "train")
    if catalogue.CLEAN.has(run):
        kept = catalogue.CLEAN.load(run)
        same = {
            "model": model.recognises(kept.digest),
            "test images": not kept.data_digest or test.recognises(kept.data_digest),
            "training images": not kept.train_digest or train.recognises(kept.train_digest),
        }
        changed = [what for what, holds in same.items() if not holds]
        if changed:
            got = f"another {' and other '.join(changed)}"
            raise RunError(str(run.folder), "was begun with other content", got, "Choose another folder.")
        return
    started = time.perf_counter()
    logits = torch.cat([model.predict(part.images) for part in test.batches(1000)])
    seconds = (time.perf_counter() - started) / len(test)
    tensors = list(model.net.parameters())
    record = CleanRecord(
        data=test.name,
        classes=test.classes,
        index=test.index,
        labels=test.labels,
        predicted=logits.argmax(1),
        parameters=sum(tensor.numel() for tensor in tensors),
        size_bytes=sum(tensor.numel() * tensor.element_size() for tensor in tensors),
        seconds_per_image=seconds,
        digest=model.digest(),
        data_digest=test.digest(),
        train_digest=train.digest(),
    )
    catalogue.CLEAN.save(run, record)
