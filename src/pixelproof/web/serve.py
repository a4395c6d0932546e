"""Serve the explorer: where it listens, what the link is, and until when."""

from __future__ import annotations

import asyncio
import errno
import logging
import secrets
import socket
import threading
import webbrowser
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from urllib.parse import quote, urlencode

import uvicorn

from pixelproof.errors import BadInput
from pixelproof.web.app import api
from pixelproof.web.gate import LOOPBACK, Gate
from pixelproof.web.library import Library
from pixelproof.web.state import AppState
from pixelproof.web.within import warm

HOST, PORT = "127.0.0.1", 8477


@dataclass(frozen=True)
class Place:
    """Where to listen, and what visitors must know: beyond loopback there is always a token."""

    host: str = HOST
    port: int = PORT
    token: str | None = None

    @property
    def secret(self) -> str | None:
        """The token: the given one, else a drawn one when others can reach this address."""
        if self.token is not None and len(self.token) < 8:
            raise BadInput("explore", "a token needs at least 8 characters", f"{len(self.token)}")
        return self.token or (None if self.host in LOOPBACK else secrets.token_urlsafe(24))

    @property
    def hosts(self) -> tuple[str, ...]:
        """The Host headers that may be sent; a plain address can always be trusted where a token is asked for."""
        return LOOPBACK if self.host in LOOPBACK else (*LOOPBACK, self.host.lower(), socket.gethostname().lower(), "*")

    def listen(self) -> socket.socket:
        """A listening socket; when the default port is taken, the next free one."""
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        attempts = range(self.port, self.port + 20) if self.port == PORT else [self.port]
        reason: OSError | None = None
        for port in attempts:
            found = socket.socket(family, socket.SOCK_STREAM)
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                found.bind((self.host, port))
                found.listen(128)
            except OSError as error:
                found.close()
                reason = error
                if error.errno != errno.EADDRINUSE:
                    break
            else:
                return found
        raise BadInput(
            "explore", f"must be able to listen on {self.host}:{self.port}", reason, "Choose another --port."
        )


def serve(library: Library, place: Place, *, tell: Callable[[str], None], browser: bool = False) -> None:
    """Serve until interrupted; `tell` is given the link to an adversarial example of the first run."""
    token = place.secret
    with place.listen() as listening:
        address = link(library, place.host, listening.getsockname()[1], token)
        tell(address)
        if browser:
            webbrowser.open(address)
        application = api(AppState(library))
        threading.Thread(target=warm, args=(application,), daemon=True, name="warm").start()
        gate = Gate(application, place.hosts, token)
        settings = uvicorn.Config(gate, log_level="warning", server_header=False, timeout_graceful_shutdown=2)
        logging.getLogger("uvicorn.error").addFilter(_news)
        uvicorn.Server(settings).run(sockets=[listening])


def _news(record: logging.LogRecord) -> bool:
    """Whether a line of the server's log is worth showing: answers cut off because the server stops are not."""
    ended = record.exc_info is not None and isinstance(record.exc_info[1], asyncio.CancelledError)
    return not ended and not record.getMessage().startswith("Cancel ")


def link(library: Library, host: str, port: int, token: str | None = None) -> str:
    """The address that opens on an adversarial example, or on the list of runs where none can be shown."""
    shown = f"[{host}]" if ":" in host else host
    query = f"?token={quote(token)}" if token else ""
    return f"http://{shown}:{port}/{query}{fragment(library)}"


def fragment(library: Library) -> str:
    """The part of the link that says what to show."""
    for name in library.names():
        card = library.card(name, nullcontext())
        if card is not None and card.start is not None:
            return f"#{urlencode({'view': 'example', 'run': name, 'example': card.start}, safe='~')}"
    return ""
