"""Jobs: attacks that run beside the pages and stop when they are told to, or when their session starts another."""

from __future__ import annotations

import secrets
import threading
import time

import torch
from pydantic import Field

from pixelproof.errors import BadInput
from pixelproof.models import Classifier, duplicate
from pixelproof.types import Goal, check_labels
from pixelproof.views.answer import Answer
from pixelproof.web.live import offer
from pixelproof.web.live.images import unpacked
from pixelproof.web.live.questions import Mount
from pixelproof.web.live.task import RunningAttack, Task

RUNNING = 4
KEPT_SECONDS = 60.0
KEPT = 16  # jobs that have ended


class Job(Answer):
    """A running attack: GET its `events` (server-sent events, each a JobStep), DELETE it to cancel."""

    job: str = Field(description="The name by which it is cancelled.")
    events: str = Field(description="Where its steps are told, relative to the API's root.")
    used: str = Field(description="The attack with the value of every setting that runs, as a spec.")


class Jobs:
    """The attacks that are running, at most one per session and RUNNING in all."""

    def __init__(self) -> None:
        self._jobs: dict[str, RunningAttack] = {}
        self._lock = threading.Lock()

    def start(self, model: Classifier, asked: Mount) -> RunningAttack:
        """Begin an attack and stop the session's earlier one; BadInput for an image, class or spec that cannot be."""
        image = unpacked(asked.pixels, model.card.input_shape)
        wanted = asked.label if asked.target is None else asked.target
        labels = torch.tensor([wanted])
        check_labels("live", labels, n=1, classes=len(model.card.classes))
        if asked.target == asked.label:
            raise BadInput("live", "a target must differ from the true class", asked.target)
        attack = offer.asked(asked.attack, model.card.input_shape)
        goal = Goal(labels, targeted=asked.target is not None)
        job = RunningAttack(secrets.token_urlsafe(9), asked.session, offer.written(attack, model.device))
        with self._lock:
            self._tidy(asked.session)
            if sum(not each.done for each in self._jobs.values()) >= RUNNING:
                raise BadInput("live", f"at most {RUNNING} attacks run at once", RUNNING, "Try again in a moment.")
            self._jobs[job.name] = job
        task = Task(job, duplicate(model), image, goal, asked.seed)
        threading.Thread(target=task.run, args=(attack,), daemon=True, name=f"live-{job.name}").start()
        return job

    def find(self, name: str) -> RunningAttack:
        """A job that runs or has ended lately; BadInput for another name."""
        with self._lock:
            if name not in self._jobs:
                raise BadInput("live", "expected a running attack", f"'{name[:40]}'", "Start it again.")
            return self._jobs[name]

    def cancel(self, name: str) -> None:
        """Stop a job; nothing happens when it has ended or never was."""
        with self._lock:
            if name in self._jobs:
                self._jobs[name].cancelled.set()

    def _tidy(self, session: str) -> None:
        for job in list(self._jobs.values()):
            if job.session == session:
                job.cancelled.set()
            if job.done and time.monotonic() - job.ended > KEPT_SECONDS:
                del self._jobs[job.name]
        ended = sorted((job for job in self._jobs.values() if job.done), key=lambda job: job.ended)
        for job in ended[:-KEPT]:
            del self._jobs[job.name]
