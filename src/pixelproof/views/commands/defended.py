"""What `defend` found: how the model was hardened, and a first look at it before and after."""

from __future__ import annotations

from dataclasses import asdict

from pydantic import Field

from pixelproof.measure import flags
from pixelproof.results.defended import DefendedRecord, FirstLook
from pixelproof.specs import decimal
from pixelproof.types import Rate
from pixelproof.views.answer import Answer


class DefendedAnswer(Answer):
    """A hardened model beside the one it was made from; two attacks are a first look and prove nothing."""

    model: str = Field(description="Its file.")
    network: str = Field(description="The architecture.")
    defences: tuple[str, ...] = Field(description="All that it went through.")
    parent: str = Field(description="Digest of the model it was made from.")
    cpu_seconds: float = Field(description="What hardening cost.")
    stochastic: bool = Field(description="Whether it answers differently each time.")
    training: dict[str, object] | None = Field(description="Every setting that was used; null where nothing trained.")
    stopped: str = Field(description="Why the training ended early, if it did.")
    data: str = Field(description="The data set.")
    n: int = Field(description="Test images that both were tried on.")
    eps: float = Field(description="In linf.")
    eps_given: str = Field(description="The budget as it was written, such as 8/255.")
    warnings: tuple[str, ...] = Field(description="What makes the figures doubtful.")
    seed: int = Field(description="Of training, sample and attacks.")
    certified: Rate | None = Field(description="Proven at eps by interval bounds; null where they were not asked for.")
    before: FirstLook = Field(description="The model as it was.")
    after: FirstLook = Field(description="The hardened model.")


def defended(record: DefendedRecord, file: str, given: str = "") -> DefendedAnswer:
    """A hardening as an answer; `given` is the budget as it was written."""
    sides = (("before", record.before), ("after", record.after))
    return DefendedAnswer(
        model=file,
        network=record.network,
        defences=record.defences,
        parent=record.parent,
        cpu_seconds=round(record.cpu_seconds, 2),
        stochastic=record.stochastic,
        training=None if record.training is None else asdict(record.training),
        stopped=record.stopped,
        data=record.data,
        n=record.n,
        eps=record.eps,
        eps_given=given or decimal(record.eps),
        warnings=tuple(
            f"{name}: {said}" for name, side in sides if (said := flags.chance(side.clean, len(record.classes)))
        ),
        seed=record.seed,
        certified=record.certified,
        before=record.before,
        after=record.after,
    )
