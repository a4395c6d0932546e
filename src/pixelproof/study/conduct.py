"""conduct: a study's stages in order, each kept as soon as it is done, so that a killed run goes on where it was."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from pixelproof import attacks, data, models, specs
from pixelproof.attacks import Attack
from pixelproof.data import Dataset
from pixelproof.measure import AttackRecord, CleanRecord
from pixelproof.models import Card, Classifier, History
from pixelproof.models.nets import build
from pixelproof.run import Run
from pixelproof.study.spec import Study


@dataclass(frozen=True)
class Event:
    """Progress of one stage: `done` of `total` units, with a word about how it goes."""

    stage: str
    done: int
    total: int
    note: str = ""


Listener = Callable[[Event], None]


def conduct(
    study: Study,
    folder: str | Path,
    *,
    root: str | Path | None = None,
    device: str = "auto",
    listener: Listener | None = None,
) -> Run:
    """Run every stage that is not yet in `folder`, and return the complete run.

    `root` is the folder with the data sets. The same study gives the same numbers whether or not it was interrupted.
    """
    run = Run.create(Path(folder), study.model_dump(mode="json"))
    if run.complete:
        return run
    stages = Stages(study, run, root, device, listener or (lambda event: None))
    seconds: dict[str, float] = {}
    for name, stage in (("train", stages.train), ("clean", stages.clean), ("attack", stages.attack)):
        started = time.perf_counter()
        stage()
        seconds[name] = time.perf_counter() - started
    run.finish({"device": str(stages.model.device), "seconds": seconds, "threads": torch.get_num_threads()})
    return run


class Stages:
    """The stages of one study, each of which leaves its results in the run and skips what is there already."""

    def __init__(self, study: Study, run: Run, root: str | Path | None, device: str, listener: Listener) -> None:
        self.study, self.run, self.root, self.listener = study, run, root, listener
        self.device = models.pick_device(device)
        test = data.load(study.data.name, "test", root)
        self.test = test if study.data.test is None else test.sample(study.data.test, study.seed)
        self.model: Classifier

    def train(self) -> None:
        """The classifier: the one in the run, the one with given weights, or a newly trained one."""
        section = self.study.model
        if section.net not in models.NETS or section.weights:
            self.model = models.load(section.net, data=self.test, weights=section.weights, device=str(self.device))
            return
        if self.run.has("history"):
            self.model = models.open_saved(self.run.path("model"), self.device)
            return
        training, validation = self._load("train"), self._load("val")
        card = Card(name=section.net, classes=training.classes, input_shape=training.shape)
        settings = self.study.trainer(len(training))
        net = build(section.net, training.shape, len(training.classes), settings.seed)
        self.model = Classifier(net, card).to(self.device)
        history = models.train(
            self.model,
            training,
            validation,
            settings,
            progress=lambda done, total, note: self.listener(Event("train", done, total, note)),
        )
        models.save(self.model, self.run.path("model"))
        self.run.save("history", history)

    def _load(self, split: Literal["train", "val"]) -> Dataset:
        found = data.load(self.study.data.name, split, self.root)
        limit = self.study.data.train
        return found if limit is None or split == "val" else found.sample(limit, self.study.seed)

    def clean(self) -> None:
        """Predictions on the clean test images."""
        if self.run.has("clean"):
            return
        started = time.perf_counter()
        logits = torch.cat([self.model.predict(part.images) for part in self.test.batches(1000)])
        seconds = (time.perf_counter() - started) / len(self.test)
        tensors = list(self.model.net.parameters())
        record = CleanRecord(
            data=self.test.name,
            classes=self.test.classes,
            index=self.test.index,
            labels=self.test.labels,
            predicted=logits.argmax(1),
            parameters=sum(tensor.numel() for tensor in tensors),
            size_bytes=sum(tensor.numel() * tensor.element_size() for tensor in tensors),
            seconds_per_image=seconds,
            digest=self.model.digest(),
        )
        self.run.save("clean", record)

    def attack(self) -> None:
        """Every attack at every budget; attacks with their own eps run at that one."""
        section = self.study.attacks
        for number, spec in enumerate(section.specs):
            own = specs.given(spec, attacks.ATTACKS, "attack").get("eps")
            budgets = list(section.eps) if own is None else [own]
            names = [record_name(spec, eps) for eps in budgets]
            if all(self.run.has(name) for name in names):
                continue
            attack = specs.parse(spec, attacks.ATTACKS, "attack", {"eps": budgets[-1]})
            label = f"{spec.partition(':')[0]} ({number + 1} of {len(section.specs)})"
            self._mount(attack, budgets, spec, label)

    def _mount(self, attack: Attack, budgets: Sequence[float], spec: str, label: str) -> None:
        """One attack over its budgets: all in one sweep, or one by one when they are independent."""
        independent = self.study.attacks.independent
        groups = (
            [[eps] for eps in budgets] if independent and not attacks.searches_smallest(attack) else [list(budgets)]
        )
        for position, group in enumerate(groups):
            if all(self.run.has(record_name(spec, eps)) for eps in group):
                continue

            def tell(done: int, total: int, position: int = position) -> None:
                self.listener(Event(f"attack {label}", position * total + done, len(groups) * total))

            found = attacks.sweep(
                attack, self.model, self.test, group, independent=independent, seed=self.study.seed, progress=tell
            )
            for adversarial, eps in zip(found, group, strict=True):
                record = AttackRecord.of(adversarial, spec, self.study.attacks.examples)
                self.run.save(record_name(spec, eps), record)


def record_name(spec: str, eps: float) -> str:
    """The name of an attack's result in the run, such as "attack/pgd/eps-0.1"."""
    slug = "".join(letter if letter.isalnum() or letter in "-." else "-" for letter in spec)
    return f"attack/{slug}/eps-{eps:.6g}"


__all__ = ["Event", "History", "Listener", "conduct", "record_name"]
