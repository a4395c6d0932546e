"""How the classifier was trained: loss and scores of every epoch, on training and validation images."""

from __future__ import annotations

from pydantic import Field

from pixelproof.models import History
from pixelproof.results import catalogue
from pixelproof.views.answer import Answer, Lacking
from pixelproof.views.open_run import OpenRun


class EpochScores(Answer):
    """Loss, accuracy and macro scores; on training images running means within the epoch."""

    loss: float = Field(description="Mean over images.")
    accuracy: float = Field(description="Share classified correctly.")
    precision: float = Field(description="Mean over classes.")
    recall: float = Field(description="Mean over classes.")
    f1: float = Field(description="Mean over classes.")


class Epoch(Answer):
    """One pass over the training images."""

    epoch: int = Field(description="From 1 on.")
    kept: bool = Field(description="Whether the weights after this epoch were kept.")
    training: EpochScores = Field(description="On the images it was trained on.")
    validation: EpochScores | None = Field(description="Null where no images were held back.")
    seconds: float = Field(description="That the epoch took.")


class TrainingHistory(Answer):
    """Every epoch of a training."""

    epochs: tuple[Epoch, ...] = Field(description="In order.")

    @property
    def kept(self) -> Epoch:
        """The epoch whose weights were kept."""
        return next(epoch for epoch in self.epochs if epoch.kept)

    @classmethod
    def of(cls, record: History) -> TrainingHistory:
        """The answer that a history is."""
        training, validation = _scores(record.training.tolist()), _scores(record.validation.tolist())
        return cls(
            epochs=tuple(
                Epoch(
                    epoch=place + 1,
                    kept=place == record.kept,
                    training=training[place],
                    validation=validation[place] if validation else None,
                    seconds=seconds,
                )
                for place, seconds in enumerate(record.seconds.tolist())
            )
        )


def training(opened: OpenRun) -> TrainingHistory:
    """The training of the run's classifier; Lacking where its weights were given."""
    record = catalogue.HISTORY.find(opened.run)
    if record is None:
        why = "This run trained nothing: the weights were given."
        raise Lacking("training", why, "Leave 'weights' out of the study's [model].")
    return TrainingHistory.of(record)


def _scores(rows: list[list[float]]) -> list[EpochScores]:
    return [EpochScores(**dict(zip(History.COLUMNS, row, strict=True))) for row in rows]
