"""Task: one attack on one image, run in a thread of its own and told step by step."""

from __future__ import annotations

import os
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TypeAlias

from torch import Tensor

import pixelproof
from pixelproof import draws, lp
from pixelproof.attacks import Attack
from pixelproof.attacks.follow import follow
from pixelproof.attacks.pixel import OnePixel
from pixelproof.attacks.pixel.stepwise import Glimpse, stepwise
from pixelproof.errors import BadInput, PixelproofError
from pixelproof.models import Classifier, hooks, modes
from pixelproof.prove import certify_one_pixel
from pixelproof.types import Goal
from pixelproof.views.explorer.example import output
from pixelproof.web.live.images import packed
from pixelproof.web.live.offer import CERTIFICATE, SECONDS, Certificate
from pixelproof.web.live.steps import JobStep

ALL = 80  # steps that are all told; of later ones those that come long enough after the one before
PAUSES = ((200, 0.03), (10**9, 0.25))  # seconds between steps while fewer than so many were told
TOLD_BYTES = 64 * 2**20  # that the steps of a job may hold; then only its end is told
NUMBER_BYTES = 32  # of a number in a list
UNHEARD = 10.0  # seconds after which an attack to which nobody listens is stopped
OWN = (
    f"{Path(pixelproof.__file__).parent}{os.sep}"  # where the clock is looked at: whenever a function from here begins
)
Lowest: TypeAlias = tuple[float | None, ...]  # per pixel; None where nothing was tried yet
KEPT = tuple(str(part.__file__) for part in (draws, hooks, modes))  # what they change they must put back
UNBROKEN = (f"torch{os.sep}export{os.sep}", f"torch{os.sep}_export{os.sep}", *KEPT)  # not to be left by surprise


class Stopped(BaseException):
    """Raised inside an attack that shall end; not an Exception, so that no way round a failing step is tried."""

    def __init__(self, *, late: bool) -> None:
        self.late = late


@dataclass(eq=False)
class RunningAttack:
    """One attack on one image: its steps so far; appended to by one thread."""

    name: str
    session: str
    used: str
    steps: list[JobStep] = field(default_factory=list)
    done: bool = False
    cancelled: threading.Event = field(default_factory=threading.Event)
    ended: float = 0.0
    heard: float = field(default_factory=time.monotonic)


@dataclass(eq=False)
class Task:
    """The work of one job, on a copy of the classifier: hooks of two attacks must not meet."""

    job: RunningAttack
    model: Classifier
    clean: Tensor
    goal: Goal
    seed: int
    began: float = field(default_factory=time.monotonic)
    passes: int = 0
    told: float = 0.0
    size: int = 0

    def run(self, attack: Attack | OnePixel | Certificate) -> None:
        """Run to the end, whatever it is; the last step says which.

        The clock is looked at whenever a function of this package begins in this thread, so that an attack that asks
        the network nothing for a while stops as well.
        """
        try:
            sys.settrace(self._watched)
            self._tell(self._shown(self.clean, step=0))
            if isinstance(attack, OnePixel):
                self._search(attack)
            elif isinstance(attack, Certificate):
                self._prove(attack)
            else:
                image = follow(attack, self.model, self.clean, self.goal, seed=self.seed, listener=self._heard)
                self._end(image)
        except BaseException as reason:
            sys.settrace(None)
            error = _failure(reason)
            self._tell(
                JobStep(
                    step=self.passes,
                    done=True,
                    cancelled=error is None,
                    seconds=time.monotonic() - self.began,
                    error=error,
                )
            )
        finally:
            sys.settrace(None)
            self.job.done, self.job.ended = True, time.monotonic()

    def _heard(self, images: Tensor, logits: Tensor) -> None:
        """A forward pass of a watched attack: the image that is nearest to the goal is shown."""
        self._check()
        self.passes += 1
        if self._pausing(self.passes):
            return
        goals = Goal(self.goal.labels.expand(len(images)), self.goal.targeted)
        row = int(goals.margin(logits).argmin())
        self._tell(self._shown(images[row : row + 1], logits[row : row + 1], step=self.passes))

    def _pausing(self, step: int) -> bool:
        """Whether a step is left out: too soon after the one before, or all steps together grew too large."""
        pause = next(seconds for most, seconds in PAUSES if len(self.job.steps) < most)
        return self.size > TOLD_BYTES or (step > ALL and time.monotonic() - self.told < pause)

    def _watched(self, frame: FrameType, _event: str, _value: object) -> None:
        """Called when any function begins in this thread; raises where it may be left."""
        if not frame.f_code.co_filename.startswith(OWN) or not self._over():
            return
        above: FrameType | None = frame
        while above is not None:
            if any(place in above.f_code.co_filename for place in UNBROKEN):
                return
            above = above.f_back
        self._check()

    def _over(self) -> bool:
        now = time.monotonic()
        late = now - self.began > SECONDS or now - self.job.heard > UNHEARD
        return late or self.job.cancelled.is_set()

    def _search(self, attack: OnePixel) -> None:
        last: Glimpse | None = None
        told: Glimpse | None = None
        for number, last in enumerate(stepwise(self.model, self.clean, self.goal)):
            self._check()
            if not self._pausing(number):
                told = self._glimpsed(last)
            if last.margin < 0 and attack.sweep != "always":
                break
        assert last is not None
        if told is not last:
            self._glimpsed(last)
        lowest = self.job.steps[-1].lowest or ()
        weak = sum(value is not None and value < 0 for value in lowest)
        said = f"{weak} of {last.tried} pixels fool the classifier in some corner colour."
        self._end(last.image[None], proven=said if last.tried == last.total else None, lowest=lowest)

    def _glimpsed(self, glimpse: Glimpse) -> Glimpse:
        """Tell how far the search of every pixel is."""
        found = glimpse.lowest.flatten().tolist()
        lowest = tuple(None if value == float("inf") else round(value, 5) for value in found)
        self._tell(self._shown(glimpse.image[None], step=glimpse.tried, total=glimpse.total, lowest=lowest))
        return glimpse

    def _prove(self, attack: Certificate) -> None:
        if self.goal.targeted:
            raise BadInput(CERTIFICATE, "speaks about any wrong class", "a target", "Leave the target out.")
        found = certify_one_pixel(self.model, self.clean, self.goal.labels, budget=attack.budget)
        image = self.clean.clone()
        if bool(found.wrong):
            told = "The image is misclassified as it is: there is nothing to prove."
        elif bool(found.certified):
            told = (
                f"Proven: no single pixel, in any colour, fools the classifier ({int(found.boxes)} boxes of colours)."
            )
        elif bool(found.attacked):
            place = int(found.position)
            image[0, :, place // image.shape[3], place % image.shape[3]] = found.colour[0]
            y, x = divmod(place, image.shape[3])
            told = f"Refuted: the pixel in row {y}, column {x}, in the colour shown, fools it."
        else:
            told = (
                f"Undecided within {attack.budget:g} CPU seconds: {int(found.open.sum())} pixels have no verdict yet."
            )
        self._check()
        self._end(image, proven=told)

    def _check(self) -> None:
        if self._over():
            raise Stopped(late=time.monotonic() - self.began > SECONDS and not self.job.cancelled.is_set())

    def _end(self, image: Tensor, *, proven: str | None = None, lowest: Lowest | None = None) -> None:
        """The last step: judged once more, and once more after rounding to 8 bits."""
        rounded = self.goal.reached(self.model.predict((image * 255).round() / 255))
        last = self.job.steps[-1]
        shown = self._shown(image, step=max(self.passes, last.step, 1), total=last.total, lowest=lowest)
        self._tell(shown.model_copy(update={"done": True, "success_8bit": bool(rounded), "proven": proven}))

    def _shown(
        self,
        image: Tensor,
        logits: Tensor | None = None,
        *,
        step: int,
        total: int | None = None,
        lowest: Lowest | None = None,
    ) -> JobStep:
        """How the attack stands with an image; the classifier is asked where its logits are not known."""
        seen = self.model.predict(image.clamp(0, 1)) if logits is None else logits.cpu()
        moved = lp.distances(self.clean, image.cpu())
        return JobStep(
            step=step,
            total=total,
            success=bool(self.goal.reached(seen)),
            margin=float(self.goal.margin(seen)),
            output=output(seen[0]),
            pixels=packed(image[0]),
            distance={norm: float(size) for norm, size in moved.items()},
            lowest=lowest,
            seconds=time.monotonic() - self.began,
        )

    def _tell(self, step: JobStep) -> None:
        self.told = time.monotonic()
        self.size += len(step.pixels or "") + NUMBER_BYTES * len(step.lowest or ())
        self.job.steps.append(step)


def _failure(reason: BaseException) -> str | None:
    """Why an attack did not come to its end; None where it was told to stop."""
    if isinstance(reason, Stopped) and not reason.late:
        return None
    if isinstance(reason, Stopped):
        do = "Use 'pixelproof attack'."
        return str(BadInput("live", f"an attack may run for {SECONDS:g} seconds here", "more", do))
    if isinstance(reason, PixelproofError):
        return str(reason)
    return f"live: unexpected {type(reason).__name__}: {reason}"[:300]
