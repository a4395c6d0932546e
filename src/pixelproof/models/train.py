"""The one training loop."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pixelproof.data import Dataset
from pixelproof.errors import BadInput
from pixelproof.models.classifier import Classifier
from pixelproof.scores import Scores, confusion
from pixelproof.types import Images

LARGEST_SEED = 2**63

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
        for key in ("weight_decay", "momentum", "patience", "seed"):
            if not 0 <= getattr(self, key) < LARGEST_SEED:
                raise BadInput(self.name, f"{key} must be a number >= 0", getattr(self, key))
        if not 0 < self.learning_rate < float("inf"):
            raise BadInput(self.name, "learning_rate must be positive", self.learning_rate)

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
    """

    training: Tensor
    validation: Tensor
    seconds: Tensor
    kept: int

    COLUMNS: ClassVar[tuple[str, ...]] = ("loss", "accuracy", "precision", "recall", "f1")


def train(
    classifier: Classifier,
    data: Dataset,
    validation: Dataset | None,
    training: Training,
    *,
    progress: Progress | None = None,
) -> History:
    """Train `classifier` in place and leave it in evaluation mode, its card filled in.

    Raises BadInput when the data does not fit, and when the loss is not finite (it says at which batch).
    """
    if data.shape != classifier.card.input_shape:
        raise BadInput("train", f"{classifier.card.name} expects images {classifier.card.input_shape}", data.shape)
    devices = [classifier.device] if classifier.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(training.seed)
        history = _Loop(classifier, data, training, progress).run(validation)
    classifier.eval()
    accuracy = float(history.validation[history.kept, 1]) if validation is not None else None
    classifier.carrying(data=data.name, seed=training.seed, accuracy=accuracy)
    return history


class _Loop:
    """The state of one training run."""

    def __init__(self, classifier: Classifier, data: Dataset, training: Training, progress: Progress | None) -> None:
        self.classifier, self.training, self.progress = classifier, training, progress
        self.pixels, self.labels = data.pixels.to(classifier.device), data.labels.to(classifier.device)
        self.classes = len(classifier.card.classes)
        kinds = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}
        extra = {"momentum": training.momentum} if training.optimiser == "sgd" else {}
        self.optimiser = kinds[training.optimiser](
            classifier.parameters(), lr=training.learning_rate, weight_decay=training.weight_decay, **extra
        )
        self.batches = math.ceil(len(data) / training.batch)
        self.done = 0

    def run(self, validation: Dataset | None) -> History:
        best: dict[str, Tensor] = {}
        rows: list[list[float]] = []
        held: list[list[float]] = []
        seconds, kept = [], 0
        for epoch in range(self.training.epochs):
            started = time.perf_counter()
            rows.append(self._epoch())
            seconds.append(time.perf_counter() - started)
            if validation is None:
                kept = epoch
                continue
            held.append(evaluate(self.classifier, validation))
            if held[-1][1] > held[kept][1] or not epoch:
                kept = epoch
                best = {name: tensor.clone() for name, tensor in self.classifier.state_dict().items()}
            if self.training.patience and epoch - kept >= self.training.patience:
                break
        self.optimiser.zero_grad(set_to_none=True)
        if best:
            self.classifier.load_state_dict(best)
        return History(torch.tensor(rows), torch.tensor(held), torch.tensor(seconds), kept)

    def _epoch(self) -> list[float]:
        self.classifier.train()
        order = torch.randperm(len(self.labels)).to(self.labels.device)
        counts = torch.zeros(self.classes, self.classes, dtype=torch.long, device=self.labels.device)
        losses = torch.zeros(self.batches, device=self.labels.device)
        for number in range(self.batches):
            rows = order[number * self.training.batch : (number + 1) * self.training.batch]
            labels = self.labels[rows]
            losses[number], logits = self._step(_floats(self.pixels[rows]), labels)
            counts += confusion(labels, logits.argmax(1), self.classes)
            self.done += 1
            if number % 20 == 0 or number == self.batches - 1:
                self._report(losses[: number + 1])
        sizes = torch.full_like(losses, self.training.batch)
        sizes[-1] = len(order) - (self.batches - 1) * self.training.batch
        return _row(float((losses * sizes).sum()) / len(order), Scores.of(counts.cpu()))

    def _report(self, losses: Tensor) -> None:
        """Refuse to go on with weights that a loss which is not finite has spoiled; tell the rest to `progress`."""
        broken = (~torch.isfinite(losses)).nonzero()[:, 0]
        if len(broken):
            batch = f"{float(losses[broken[0]])} at batch {self.done - len(losses) + 1 + int(broken[0])}"
            raise BadInput("train", "the loss must stay finite", batch, "Lower the learning rate.")
        if self.progress:
            self.progress(self.done, self.batches * self.training.epochs, f"loss {float(losses[-1]):.3f}")

    def _step(self, images: Images, labels: Tensor) -> tuple[Tensor, Tensor]:
        for group in self.optimiser.param_groups:
            share = self.training.rate((self.done + 0.5) / (self.batches * self.training.epochs))
            group["lr"] = self.training.learning_rate * share
        images = augment(images, self.training.augment).contiguous(memory_format=torch.channels_last)
        half = self.training.precision == "bf16" or (
            self.training.precision == "auto" and _convolutional(self.classifier) and native_bf16(images.device)
        )
        with torch.autocast(images.device.type, dtype=torch.bfloat16, enabled=half):
            logits = self.classifier(images).float()
        loss = F.cross_entropy(logits, labels)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        return loss.detach(), logits.detach()


def augment(images: Images, kind: str) -> Images:
    """Images mirrored and shifted at random, as the training settings ask; drawn from the global generator."""
    if kind in ("flip", "both"):
        mirrored = torch.rand(len(images)) < 0.5
        images = torch.where(mirrored.to(images.device).view(-1, 1, 1, 1), images.flip(3), images)
    if kind in ("shift", "both"):
        height, width = images.shape[2:]
        reach = width // 8
        padded = F.pad(images, (reach, reach, reach, reach))
        down, right = torch.randint(0, 2 * reach + 1, (2, len(images))).to(images.device)
        rows = (down[:, None] + torch.arange(height, device=images.device))[:, :, None]
        columns = (right[:, None] + torch.arange(width, device=images.device))[:, None, :]
        batch = torch.arange(len(images), device=images.device)[:, None, None]
        images = padded.permute(0, 2, 3, 1)[batch, rows, columns].permute(0, 3, 1, 2)
    return images


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


def _floats(pixels: Tensor) -> Images:
    return pixels.float() / 255 if pixels.dtype == torch.uint8 else pixels


def _row(loss: float, scores: Scores) -> list[float]:
    return [loss, scores.accuracy, *scores.macro.values()]
