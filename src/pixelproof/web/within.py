"""Ask the application from within its own process: the same answers, without a network in between."""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from starlette.types import ASGIApp, Message

from pixelproof.web.pages import warmed


@dataclass(frozen=True)
class Reply:
    """One answer of the application."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


def ask(application: ASGIApp, address: str) -> Reply:
    """The application's answer to GET /api/ADDRESS, without a network in between."""
    path = f"/api/{address}" if address else "/api"
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"export")],
        "client": None,
        "server": None,
    }
    messages: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        messages.append(message)

    async def call() -> None:
        await application(scope, receive, send)

    # In a thread of its own, because the caller may sit inside a running loop (a notebook, a browser driver).
    with ThreadPoolExecutor(1) as thread:
        thread.submit(lambda: asyncio.run(call())).result()
    start = messages[0]
    headers = {name.decode().lower(): value.decode() for name, value in start["headers"]}
    return Reply(start["status"], headers, b"".join(message.get("body", b"") for message in messages[1:]))


def warm(application: ASGIApp) -> None:
    """Ask for what a visitor looks at first, so that it is there already; it does not matter if it fails."""
    for card in ask(application, "").json()["runs"]:
        for address in warmed(card["id"], card["start"]):
            with suppress(Exception):
                ask(application, address)
