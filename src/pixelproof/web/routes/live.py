"""Routes of the live page: judge an image, attack it step by step, take an upload. Nothing of it is kept."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from pixelproof.views import explorer
from pixelproof.web.contract import Ask, Job, Judged, LivePage, Missing, Mount, Refusal, Step, Uploaded
from pixelproof.web.desk import Desk

AT = "/runs/{run}/live"


def router(desk: Desk) -> APIRouter:
    """The routes over a desk."""
    routes = APIRouter(tags=["live"])
    library, answers = desk.library, desk.answers

    @routes.get(AT, response_model=LivePage | Missing)
    def page(run: str, request: Request) -> Response:
        """Attacks to run, upload limits, and whether layers can be asked."""
        return answers.json(request, library.shelf(run), LivePage | Missing, explorer.GUARDS.answer)

    @routes.post(AT + "/judge", response_model=Judged | Missing, responses={409: {"model": Refusal}})
    def judge(run: str, asked: Ask) -> Missing:
        """What the classifier and its layers say of an image; 409 when a newer question of the session is there."""
        return Missing.model_validate(explorer.GUARDS.answer())

    @routes.post(AT + "/attacks", response_model=Job | Missing)
    def mount(run: str, asked: Mount) -> Missing:
        """Start an attack."""
        return Missing.model_validate(explorer.GUARDS.answer())

    @routes.get("/live/{job}/events", responses={200: {"model": Step, "description": "A stream of Steps as events."}})
    def events(job: str) -> Response:
        """The attack's steps as server-sent events, each `data:` a Step; only the newest when the reader is slow."""
        return Response(status_code=404)

    @routes.delete("/live/{job}", status_code=204)
    def cancel(job: str) -> Response:
        """Stop an attack; nothing happens when it has ended."""
        return Response(status_code=204)

    @routes.post(AT + "/upload", response_model=Uploaded, responses={413: {"model": Refusal}, 415: {"model": Refusal}})
    async def upload(run: str, request: Request) -> Uploaded:
        """Make an image file (the request's body: PNG, JPEG, GIF, BMP or WebP) fit the classifier. It is not kept."""
        raise NotImplementedError

    return routes
