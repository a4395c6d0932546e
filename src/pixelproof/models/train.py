"""The one training loop."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pixelproof.data import Dataset
from pixelproof.draws import check_seed, seeded
from pixelproof.errors import BadInput
from pixelproof.models.augmentation import augment
from pixelproof.models.average import Average
from pixelproof.models.classes import check_same
from pixelproof.models.classifier import Classifier
from pixelproof.models.recipe import PLAIN, Recipe, Step
from pixelproof.models.saving import check_savable
from pixelproof.scores import Scores, confusion
from pixelproof.specs import check_single
from pixelproof.types import Images

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Training:
    """How a network is trained: these settings, the data and the seed decide everything.

    `schedule`: "triangular" rises to `learning_rate` over the first fifth and falls to zero; "cosine" falls from the
    start. `augment`: "flip" mirrors half of the images, "shift" moves each by up to an eighth of its width, "both".
    `patience`: stop after that many epochs without a better validation accuracy (0: never); the best epoch's weights
    are kept whenever there is a validation set. `precision` "auto" is bfloat16 where the processor has it natively.
    """

    epochs: int = 3
    batch: int = 128
    optimiser: Literal["adam", "sgd"] = "adam"
    learning_rate: float = 2e-3
    schedule: Literal["triangular", "cosine", "constant"] = "triangular"
    weight_decay: float = 0.0
    momentum: float = 0.9
    augment: Literal["none", "flip", "shift", "both"] = "none"
    precision: Literal["auto", "float32", "bf16"] = "auto"
    patience: int = 0
    seed: int = 0

    name: ClassVar[str] = "training"

    def __post_init__(self) -> None:
        for key in ("epochs", "batch"):
            if getattr(self, key) < 1:
                raise BadInput(self.name, f"{key} must be at least 1", getattr(self, key))
        for key in ("weight_decay", "momentum", "patience"):
            if not 0 <= getattr(self, key) < float("inf"):
                raise BadInput(self.name, f"{key} must be a number >= 0", getattr(self, key))
        check_seed(self.seed)
        if not 0 < self.learning_rate < float("inf"):
            raise BadInput(self.name, "learning_rate must be positive", self.learning_rate)
        check_single(self)

    def rate(self, progress: float) -> float:
        """The share of the learning rate at `progress` in [0, 1]."""
        if self.schedule == "constant":
            return 1.0
        if self.schedule == "cosine":
            return 0.5 * (1 + math.cos(math.pi * progress))
        return progress / 0.2 if progress < 0.2 else (1 - progress) / 0.8


@dataclass(frozen=True, eq=False)
class History:
    """One row per epoch: columns `COLUMNS`, for training and validation data, and the seconds spent.

    Training figures are running means over the epoch, in training mode. `kept` is the epoch whose weights were kept.
    `judged` is the recipe's own score of each epoch, where it has one, `stopped` why training ended early, if it did.
    """

    training: Tensor
    validation: Tensor
    seconds: Tensor
    kept: int
    judged: Tensor | None = None
    stopped: str = ""

    COLUMNS: ClassVar[tuple[str, ...]] = ("loss", "accuracy", "precision", "recall", "f1")


def train(
    classifier: Classifier,
    data: Dataset,
    validation: Dataset | None,
    training: Training,
    *,
    recipe: Recipe = PLAIN,
    progress: Progress | None = None,
) -> History:
    """Train `classifier` in place and leave it in evaluation mode, its card filled in.

    A loss that is not finite ends the training: the best epoch so far is kept and the history says at which batch it
    happened. Raises BadInput when it happens in the first epoch, when the data does not fit, and when the recipe
    judges epochs but there is no validation set. After an exception every module is in the
    mode it was in.
    """
    if data.shape != classifier.card.input_shape:
        raise BadInput("train", f"{classifier.card.name} expects images {classifier.card.input_shape}", data.shape)
    if recipe.judge is not None and validation is None:
        raise BadInput("train", "a recipe that judges epochs needs validation images", "none")
    for part in (data, validation):
        if part is not None:
            check_same(classifier, part)
    check_savable(classifier)
    devices = [classifier.device] if classifier.device.type == "cuda" else []
    modes = [(part, part.training) for part in classifier.modules()]
    try:
        with seeded(training.seed, devices), ExitStack() as stack:
            for during in recipe.during:
                stack.enter_context(during(classifier))
            history = _Loop(classifier, data, training, recipe, progress).run(validation)
    except BaseException:
        for module, mode in modes:
            module.training = mode
        raise
    classifier.eval()
    accuracy = float(history.validation[history.kept, 1]) if validation is not None else None
    classifier.carrying(data=data.name, seed=training.seed, accuracy=accuracy)
    return history


class _Diverged(Exception):
    """A loss that is not finite, and where."""


class _Loop:
    """The state of one training run."""

    def __init__(
        self, classifier: Classifier, data: Dataset, training: Training, recipe: Recipe, progress: Progress | None
    ) -> None:
        self.classifier, self.training, self.recipe, self.progress = classifier, training, recipe, progress
        self.pixels, self.labels = data.pixels.to(classifier.device), data.labels.to(classifier.device)
        self.classes = len(classifier.card.classes)
        self.parameters = list(classifier.parameters())
        kinds = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}
        extra = {"momentum": training.momentum} if training.optimiser == "sgd" else {}
        decay = training.weight_decay + recipe.weight_decay
        groups: list[dict[str, Any]] = [{"params": self.parameters, "weight_decay": decay}]
        if recipe.parameters:
            groups.append({"params": list(recipe.parameters), "weight_decay": 0.0})
        self.optimiser = kinds[training.optimiser](groups, lr=training.learning_rate, **extra)
        self.half = training.precision == "bf16" or (
            training.precision == "auto" and _convolutional(classifier) and native_bf16(classifier.device)
        )
        self.average = Average(classifier, recipe.average) if recipe.average else None
        self.bounds = boundaries(len(data), training.batch)
        self.batches = len(self.bounds) - 1
        self.done = 0

    def run(self, validation: Dataset | None) -> History:
        best: dict[str, Tensor] = {}
        beside: list[Tensor] = []
        rows: list[list[float]] = []
        held: list[list[float]] = []
        judged: list[float] = []
        seconds, kept, stopped = [], 0, ""
        for epoch in range(self.training.epochs):
            started = time.perf_counter()
            try:
                rows.append(self._epoch(epoch))
            except _Diverged as reason:
                if not rows:
                    raise BadInput("train", "the loss must stay finite", reason, "Lower the learning rate.") from None
                stopped = f"the loss was {reason}"
                break
            seconds.append(time.perf_counter() - started)
            with self.average.swapped() if self.average else nullcontext():
                if validation is not None:
                    held.append(evaluate(self.classifier, validation))
                    if self.recipe.judge is not None:
                        judged.append(self.recipe.judge(self.classifier, validation))
                scores = judged or [row[1] for row in held]
                if not scores or scores[-1] > scores[kept] or not epoch or (judged and judged[-1] == judged[kept]):
                    kept = epoch
                    best = {name: tensor.clone() for name, tensor in self.classifier.state_dict().items()}
                    beside = [parameter.detach().clone() for parameter in self.recipe.parameters]
            if judged and judged[kept] - judged[-1] > self.recipe.collapse:
                stopped = f"the judged score fell from {judged[kept]:.3f} to {judged[-1]:.3f}"
                break
            if self.training.patience and epoch - kept >= self.training.patience:
                break
        self.optimiser.zero_grad(set_to_none=True)
        self.classifier.load_state_dict(best)
        for parameter, value in zip(self.recipe.parameters, beside, strict=True):
            parameter.data.copy_(value)
        tensors = torch.tensor(rows), torch.tensor(held), torch.tensor(seconds)
        return History(*tensors, kept, torch.tensor(judged) if judged else None, stopped)

    def _epoch(self, epoch: int) -> list[float]:
        self.classifier.train()
        order = torch.randperm(len(self.labels)).to(self.labels.device)
        counts = torch.zeros(self.classes, self.classes, dtype=torch.long, device=self.labels.device)
        losses = torch.zeros(self.batches, device=self.labels.device)
        for number in range(self.batches):
            rows = order[self.bounds[number] : self.bounds[number + 1]]
            labels = self.labels[rows]
            share = self.done / (self.batches * self.training.epochs)
            step = Step(self.classifier, rows, labels, epoch, number, share)
            losses[number], logits = self._step(_floats(self.pixels[rows]), step)
            counts += confusion(labels, logits.argmax(1), self.classes)
            self.done += 1
            if number % 20 == 0 or number == self.batches - 1:
                self._report(losses[: number + 1])
        sizes = torch.tensor(self.bounds, device=losses.device).diff()
        return _row(float((losses * sizes).sum()) / self.bounds[-1], Scores.of(counts.cpu()))

    def _report(self, losses: Tensor) -> None:
        """Refuse to go on with weights that a loss which is not finite has spoiled; tell the rest to `progress`."""
        broken = (~torch.isfinite(losses)).nonzero()[:, 0]
        if len(broken):
            raise _Diverged(f"{float(losses[broken[0]])} at batch {self.done - len(losses) + 1 + int(broken[0])}")
        if self.progress:
            self.progress(self.done, self.batches * self.training.epochs, f"loss {float(losses[-1]):.3f}")

    def _step(self, images: Images, step: Step) -> tuple[Tensor, Tensor]:
        for group in self.optimiser.param_groups:
            share = self.training.rate((self.done + 0.5) / (self.batches * self.training.epochs))
            group["lr"] = self.training.learning_rate * share
        images = augment(images, self.training.augment).contiguous(memory_format=torch.channels_last)
        with torch.autocast(images.device.type, dtype=torch.bfloat16, enabled=self.half):
            for transform in self.recipe.transforms:
                images = transform(images, step)
            loss, logits = (self.recipe.objective or self._cross_entropy)(images, step)
            for penalty in self.recipe.penalties:
                loss = loss + penalty(images, step)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if self.recipe.treatments:
            gradients = [parameter.grad for parameter in self.parameters if parameter.grad is not None]
            for treatment in self.recipe.treatments:
                treatment(gradients, step)
        self.optimiser.step()
        if self.average:
            self.average.update()
        return loss.detach(), logits.detach()

    def _cross_entropy(self, images: Images, step: Step) -> tuple[Tensor, Tensor]:
        logits = self.classifier(images).float()
        return F.cross_entropy(logits, step.labels, label_smoothing=self.recipe.smoothing), logits


def evaluate(classifier: Classifier, data: Dataset, batch: int = 500) -> list[float]:
    """Loss, accuracy and macro precision, recall and F1 on a data set, in evaluation mode."""
    logits = torch.cat([classifier.predict(part.images) for part in data.batches(batch)])
    loss = float(F.cross_entropy(logits, data.labels))
    return _row(loss, Scores.of(confusion(data.labels, logits.argmax(1), len(data.classes))))


def native_bf16(device: torch.device) -> bool:
    """Whether bfloat16 arithmetic is done in hardware on this device."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and bool(torch.cpu._is_avx512_bf16_supported())


def _convolutional(classifier: Classifier) -> bool:
    return any(isinstance(module, nn.Conv2d) for module in classifier.modules())


def boundaries(n: int, batch: int) -> list[int]:
    """Where the batches of an epoch begin, and where the last one ends.

    A last batch of one image, which batch normalisation cannot take, shares evenly with the one before it; with
    batches of two there is nothing to share, and the odd image (another one each epoch) waits for the next epoch.
    """
    found = [*range(0, n, batch), n]
    if batch > 1 and n > batch and n % batch == 1:
        if batch == 2:
            return found[:-1]
        found[-2] = n - (batch + 1) // 2
    return found


def _floats(pixels: Tensor) -> Images:
    return pixels.float() / 255 if pixels.dtype == torch.uint8 else pixels


def _row(loss: float, scores: Scores) -> list[float]:
    return [loss, scores.accuracy, *scores.macro.values()]
