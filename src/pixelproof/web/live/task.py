"""Task: one attack on one image, run in a thread of its own and told step by step."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from pixelproof import lp
from pixelproof.attacks import Attack
from pixelproof.attacks.follow import follow
from pixelproof.attacks.pixel import OnePixel
from pixelproof.attacks.pixel.stepwise import stepwise
from pixelproof.errors import BadInput, PixelproofError
from pixelproof.models import Classifier
from pixelproof.prove import certify_one_pixel
from pixelproof.types import Goal
from pixelproof.views.explorer.example import output
from pixelproof.web.live.images import packed
from pixelproof.web.live.offer import CERTIFICATE, SECONDS, Certificate

ALL = 80  # steps that are all told; of later ones those that come long enough after the one before
PAUSES = ((200, 0.03), (10**9, 0.25))  # seconds between steps while fewer than so many were told


class Stopped(Exception):
    """Raised inside an attack that shall end."""


@dataclass(eq=False)
class Job:
    """One attack on one image: its steps so far, as the contract's Step; appended to by one thread."""

    name: str
    session: str
    steps: list[dict[str, Any]] = field(default_factory=list)
    done: bool = False
    cancelled: threading.Event = field(default_factory=threading.Event)
    ended: float = 0.0


@dataclass(eq=False)
class Task:
    """The work of one job, on a copy of the classifier: hooks of two attacks must not meet."""

    job: Job
    model: Classifier
    clean: Tensor
    goal: Goal
    seed: int
    began: float = field(default_factory=time.monotonic)
    passes: int = 0
    told: float = 0.0
    best: float = float("inf")

    def run(self, attack: Attack | OnePixel | Certificate) -> None:
        """Run to the end, whatever it is; the last step says which."""
        try:
            self._tell(image=self.clean, step=0)
            if isinstance(attack, OnePixel):
                self._search(attack)
            elif isinstance(attack, Certificate):
                self._prove(attack)
            else:
                image = follow(attack, self.model, self.clean, self.goal, seed=self.seed, listener=self._heard)
                self._end(image)
        except Stopped:
            self._tell(done=True, cancelled=True)
        except PixelproofError as reason:
            self._tell(done=True, error=str(reason))
        except Exception as reason:
            self._tell(done=True, error=f"live: unexpected {type(reason).__name__}: {reason}"[:300])
        finally:
            self.job.done, self.job.ended = True, time.monotonic()

    def _heard(self, images: Tensor, logits: Tensor) -> None:
        """A forward pass of a watched attack: the image that is nearest to the goal is shown."""
        self._check()
        self.passes += 1
        pause = next(seconds for most, seconds in PAUSES if len(self.job.steps) < most)
        if self.passes > ALL and time.monotonic() - self.told < pause:
            return
        goals = Goal(self.goal.labels.expand(len(images)), self.goal.targeted)
        row = int(goals.margin(logits).argmin())
        self._tell(image=images[row : row + 1], logits=logits[row : row + 1], step=self.passes)

    def _search(self, attack: OnePixel) -> None:
        found = None
        for glimpse in stepwise(self.model, self.clean, self.goal):
            self._check()
            found, lowest = glimpse.image[None], glimpse.lowest.flatten().tolist()
            self._tell(
                image=found,
                step=glimpse.tried,
                total=glimpse.total,
                lowest=[None if value == float("inf") else round(value, 5) for value in lowest],
            )
            if glimpse.margin < 0 and attack.sweep != "always":
                break
        assert found is not None
        weak = sum(value is not None and value < 0 for value in self.job.steps[-1]["lowest"])
        whole = self.job.steps[-1]["step"] == self.job.steps[-1]["total"]
        told = f"{weak} of {self.job.steps[-1]['step']} pixels fool the classifier in some corner colour."
        self._end(found, proven=told if whole else None, lowest=self.job.steps[-1]["lowest"])

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
        if self.job.cancelled.is_set():
            raise Stopped
        if time.monotonic() - self.began > SECONDS:
            raise BadInput(
                "live", f"an attack may run for {SECONDS:g} seconds here", "more", "Use 'pixelproof attack'."
            )

    def _end(self, image: Tensor, *, proven: str | None = None, lowest: list[float | None] | None = None) -> None:
        """The last step: judged once more, and once more after rounding to 8 bits."""
        rounded = self.goal.reached(self.model.predict((image * 255).round() / 255))
        last = self.job.steps[-1]
        step = max(self.passes, last["step"], 1)
        more = {"success_8bit": bool(rounded), "proven": proven, "lowest": lowest, "total": last["total"]}
        self._tell(image=image, step=step, done=True, **more)

    def _tell(
        self, *, image: Tensor | None = None, logits: Tensor | None = None, done: bool = False, **more: Any
    ) -> None:
        step: dict[str, Any] = {
            "step": self.passes,
            "total": None,
            "done": done,
            "cancelled": False,
            "success": False,
            "success_8bit": None,
            "margin": None,
            "output": None,
            "pixels": None,
            "distance": None,
            "lowest": None,
            "proven": None,
            "seconds": time.monotonic() - self.began,
            "error": None,
        }
        if image is not None:
            seen = self.model.predict(image.clamp(0, 1)) if logits is None else logits.cpu()
            moved = lp.distances(self.clean, image.cpu())
            step |= {
                "success": bool(self.goal.reached(seen)),
                "margin": float(self.goal.margin(seen)),
                "output": output(seen[0]),
                "pixels": packed(image[0]),
                "distance": {norm: float(size) for norm, size in moved.items()},
            }
        self.told = time.monotonic()
        self.job.steps.append({**step, **more})
