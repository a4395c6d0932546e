"""Stage: a step of a study, a function of its typed section that declares what it makes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pixelproof.results import Result
from pixelproof.study.context import Context
from pixelproof.study.spec import Study

S = TypeVar("S")


@dataclass(frozen=True)
class Stage(Generic[S]):
    """One step of a study.

    `section` gives the part of the study that it is a function of; without that part the step is left out. `run` does
    it; what it returns, if anything, is the one record in `makes` and is kept by `conduct`. A step that makes several
    records keeps each as soon as it is done, so that a killed study loses one of them at most.
    """

    name: str
    section: Callable[[Study], S | None]
    run: Callable[[Context, S], object]
    makes: tuple[Result[Any], ...]
    asked: Callable[[S], object] = lambda _: True

    def conduct(self, context: Context) -> None:
        """Run the step unless the study does not ask for it, or what it makes is there already."""
        section = self.section(context.study)
        if section is None or not self.asked(section) or self._done(context):
            return
        record = self.run(context, section)
        if record is not None:
            (result,) = self.makes
            result.save(context.run, record)

    def _done(self, context: Context) -> bool:
        """Whether the one record that the step makes is there; several are looked for one by one as they are made."""
        return len(self.makes) == 1 and "{" not in self.makes[0].pattern and self.makes[0].has(context.run)
