"""Routes of the live page: judge an image, attack it step by step, take an upload. Nothing of it is kept."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.concurrency import run_in_threadpool

from pixelproof.views import paths
from pixelproof.views.answer import Lacking, Missing, Refusal
from pixelproof.web.live import upload
from pixelproof.web.live.images import packed
from pixelproof.web.live.jobs import Job
from pixelproof.web.live.judge import Judged, judge
from pixelproof.web.live.offer import LivePage, offered
from pixelproof.web.live.questions import Ask, Mount
from pixelproof.web.live.steps import JobStep
from pixelproof.web.live.upload import Uploaded
from pixelproof.web.state import AppState

TICK = 0.02
OVERTAKEN = "live: a newer question of this session was asked meanwhile."
OFF = Lacking("live", "The live page is switched off on this server.", "Start 'pixelproof explore' without --no-live.")


def router(state: AppState) -> APIRouter:
    """The routes over a state."""
    routes = APIRouter(tags=["live"])
    arriving = upload.Arriving()
    decoder = ThreadPoolExecutor(1, "decode")  # one picture after the other: each may take hundreds of megabytes

    @routes.get("/" + paths.LIVE, response_model=LivePage | Missing)
    def page(run: str, request: Request) -> Response:
        """Attacks to run, upload limits, and whether layers can be asked."""
        opened = state.library.opened(run)

        def made() -> LivePage:
            _allow(state)
            lacks = opened.lacks("model")
            shape = (1, 1, 1) if lacks else opened.model.card.input_shape
            return LivePage(
                attacks=offered(shape),
                guard=lacks or opened.lacks("neighbour_view"),
                upload_bytes=upload.BYTES,
                upload_pixels=upload.PIXELS,
                formats=upload.FORMATS,
                resize=upload.RULE,
            )

        return state.answers.json(request, opened, made)

    @routes.post("/" + paths.JUDGE, response_model=Judged | Missing, responses={409: {"model": Refusal}})
    def ask(run: str, asked: Ask) -> Judged | Response:
        """What the classifier and its layers say of an image; 409 when a newer question of the session is there."""
        _allow(state)
        state.turns.take(asked.session, asked.sequence)
        with state.drawing:
            if state.turns.overtaken(asked.session, asked.sequence):
                return JSONResponse({"error": OVERTAKEN}, status_code=409)
            return judge(state.live_run(run), asked)

    @routes.post("/" + paths.JOBS, response_model=Job | Missing)
    def mount(run: str, asked: Mount) -> Job:
        """Start an attack; the session's earlier one is stopped."""
        _allow(state)
        job = state.jobs.start(state.live_run(run).model, asked)
        return Job(job=job.name, events=paths.at(paths.EVENTS, job=job.name), used=job.used)

    @routes.get("/" + paths.EVENTS, responses={200: {"model": JobStep, "description": "Steps as server-sent events."}})
    async def events(job: str) -> StreamingResponse:
        """The attack's steps as server-sent events, each `data:` a JobStep. Who stops listening stops the attack."""
        found = state.jobs.find(job)

        async def told() -> AsyncIterator[str]:
            sent = 0
            try:
                while True:
                    found.heard = time.monotonic()
                    over = found.done
                    for step in found.steps[sent:]:
                        sent += 1
                        yield f"data: {step.model_dump_json()}\n\n"
                    if over:
                        return
                    await asyncio.sleep(TICK)
            finally:
                found.cancelled.set()

        return StreamingResponse(told(), media_type="text/event-stream", headers={"Cache-Control": "no-store"})

    @routes.delete("/" + paths.JOB, status_code=204)
    def cancel(job: str) -> Response:
        """Stop an attack; nothing happens when it has ended."""
        state.jobs.cancel(job)
        return Response(status_code=204)

    @routes.post(
        "/" + paths.UPLOAD, response_model=Uploaded, responses={413: {"model": Refusal}, 415: {"model": Refusal}}
    )
    async def take(run: str, request: Request) -> Uploaded:
        """Make an image file (the request's body: PNG, JPEG, GIF, BMP or WebP) fit the classifier. It is not kept."""
        _allow(state)
        opened = await run_in_threadpool(state.live_run, run)
        with arriving.place():
            content = bytearray()
            async for part in request.stream():
                content += part
                if len(content) > upload.BYTES:
                    raise upload.TooLarge("upload", f"a file may have at most {upload.BYTES // 2**20} MiB", "more")
            shape = await run_in_threadpool(lambda: opened.model.card.input_shape)
            found = await asyncio.get_running_loop().run_in_executor(decoder, upload.picture, bytes(content), shape)
        return Uploaded(
            pixels=packed(found.image), was=found.was, format=found.format, rule=upload.RULE, notes=found.notes
        )

    return routes


def _allow(state: AppState) -> None:
    if not state.live:
        raise OFF
