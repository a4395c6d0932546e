"""Answers: what views return, kept as bytes, sent with an ETag."""

from __future__ import annotations

import gzip
import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from fastapi import Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from torch import Tensor

from pixelproof.views.answer import Lacking, or_missing
from pixelproof.views.open_run import OpenRun

KEPT_BYTES = 256 * 2**20
SMALL = 1000  # bytes that are not worth compressing


@dataclass(frozen=True)
class Body:
    """One answer, ready to be sent again."""

    content: bytes
    media: str
    packed: bytes | None
    headers: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, content: bytes, media: str, headers: dict[str, str]) -> Body:
        """The body with its ETag; text and numbers are compressed, images are already."""
        packed = gzip.compress(content, 5) if len(content) > SMALL and not media.startswith("image/") else None
        etag = f'"{hashlib.sha256(content).hexdigest()[:24]}"'
        return cls(content, media, packed, (*headers.items(), ("ETag", etag), ("Cache-Control", "private, no-cache")))

    def response(self, request: Request) -> Response:
        """The answer to a request: 304 where the browser has it already."""
        headers = {**dict(self.headers), "Vary": "Accept-Encoding"}
        if headers["ETag"] in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        if self.packed is not None and "gzip" in request.headers.get("accept-encoding", ""):
            return Response(self.packed, media_type=self.media, headers={**headers, "Content-Encoding": "gzip"})
        return Response(self.content, media_type=self.media, headers=headers)


class Answers:
    """Bodies by run and path: a complete run never changes, so what was answered once is answered again at once.

    One computation at a time: torch shares its threads badly, and two people often ask for the same.
    """

    def __init__(self, most: int = KEPT_BYTES) -> None:
        self._kept: OrderedDict[tuple[int, str], tuple[OpenRun, Body]] = OrderedDict()
        self._most, self._bytes = most, 0
        self._guard = threading.Lock()
        self.busy = threading.RLock()

    def json(self, request: Request, opened: OpenRun, view: Callable[[], BaseModel]) -> Response:
        """A view's answer as JSON; what a run lacks is an answer as well."""

        def make() -> Body:
            content = or_missing(view).model_dump_json(by_alias=True)
            return Body.of(content.encode(), "application/json", {})

        return self._answer(request, opened, make)

    def array(self, request: Request, opened: OpenRun, view: Callable[[], Tensor]) -> Response:
        """Numbers as raw little-endian float32 with their shape in X-Shape."""

        def make() -> Body:
            values = view().detach().cpu().numpy()
            shape = ",".join(str(size) for size in values.shape)
            content = np.ascontiguousarray(values, dtype="<f4").tobytes()
            return Body.of(content, "application/octet-stream", {"X-Shape": shape, "X-Dtype": "<f4"})

        return self._answer(request, opened, make)

    def picture(self, request: Request, opened: OpenRun, view: Callable[[], bytes]) -> Response:
        """A PNG."""
        return self._answer(request, opened, lambda: Body.of(view(), "image/png", {}))

    def _answer(self, request: Request, opened: OpenRun, make: Callable[[], Body]) -> Response:
        key = (id(opened), request.url.path)
        body = self._find(key, opened)
        if body is None:
            with self.busy:
                body = self._find(key, opened)
                if body is None:
                    try:
                        body = make()
                    except Lacking as lacking:
                        return JSONResponse(lacking.answer().model_dump(), status_code=404)
                    self._keep(key, opened, body)
        return body.response(request)

    def _find(self, key: tuple[int, str], opened: OpenRun) -> Body | None:
        with self._guard:
            kept = self._kept.get(key)
            if kept is None or kept[0] is not opened:
                return None
            self._kept.move_to_end(key)
            return kept[1]

    def _keep(self, key: tuple[int, str], opened: OpenRun, body: Body) -> None:
        with self._guard:
            self._kept[key] = (opened, body)
            self._bytes += len(body.content) + len(body.packed or b"")
            while self._bytes > self._most and len(self._kept) > 1:
                _, (_, old) = self._kept.popitem(last=False)
                self._bytes -= len(old.content) + len(old.packed or b"")
