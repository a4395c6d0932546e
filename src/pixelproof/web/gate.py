"""Gate: who may ask. Host and Origin are checked, a token where others can reach the server, and a strict policy."""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import time
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

BODY = 16 * 2**20
SLOW = 60.0  # seconds for a body to arrive
LOOPBACK = ("127.0.0.1", "localhost", "::1")
COOKIE = "pixelproof-token"
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "connect-src 'self'",
        "font-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}


@dataclass(frozen=True)
class Gate:
    """Lets a request through, or answers it with a refusal.

    - The Host header must name this machine as it was started (`hosts`), against DNS rebinding.
    - A request from another site (Origin, Sec-Fetch-Site) is refused; following a link to here is allowed.
    - With a `token`, every request carries it: as cookie, as `Authorization: Bearer`, or once as `?token=`, which is
      turned into the cookie so that it does not stay in the address bar.
    """

    app: ASGIApp
    hosts: tuple[str, ...] = LOOPBACK
    token: str | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check one request, and add the headers to its answer."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        answer = self.refuse(scope)
        await (answer or self.app)(scope, _limited(receive), _with_headers(send))

    def refuse(self, scope: Scope) -> Response | None:
        """The answer to a request that may not pass, or None."""
        headers = Headers(scope=scope)
        host = _hostname(headers.get("host", ""))
        if not self._known(host):
            return _refusal(400, "explore: expected a request to this machine's own address; got another Host")
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > BODY:
            return _refusal(413, f"explore: a request may have at most {BODY // 2**20} MiB")
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != headers.get("host"):
            return _refusal(403, "explore: requests from other sites are refused")
        if headers.get("sec-fetch-site") in ("cross-site", "same-site") and headers.get("sec-fetch-mode") != "navigate":
            return _refusal(403, "explore: requests from other sites are refused")
        return None if self.token is None else self._check_token(scope, headers, self.token)

    def _known(self, host: str) -> bool:
        if host in self.hosts:
            return True
        return "*" in self.hosts and _is_address(host)

    def _check_token(self, scope: Scope, headers: Headers, token: str) -> Response | None:
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        asked = dict(query).get("token")
        if asked is not None and hmac.compare_digest(asked.encode(), token.encode()):
            rest = urlencode([pair for pair in query if pair[0] != "token"])
            own = "/" + scope["path"].lstrip("/")  # "//other.host/" would lead there
            answer = RedirectResponse(own + (f"?{rest}" if rest else ""), status_code=303)
            answer.set_cookie(COOKIE, token, httponly=True, samesite="strict")
            return answer
        bearer = headers.get("authorization", "").removeprefix("Bearer ")
        given = (bearer, _cookie(headers))
        if any(hmac.compare_digest(each.encode(), token.encode()) for each in given):
            return None
        return _refusal(401, "explore: expected the token that 'pixelproof explore' printed. Open the link it printed")


def _cookie(headers: Headers) -> str:
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return "" if found is None else found.value


def _hostname(host: str) -> str:
    """The name in a Host header, without its port."""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def _is_address(host: str) -> bool:
    """Whether a host is a plain IP address: nobody can rebind that."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _refusal(status: int, why: str) -> Response:
    return JSONResponse({"error": f"{why}."}, status_code=status)


def _limited(receive: Receive) -> Receive:
    """The body of a request, cut off where it becomes too large or takes too long to come."""
    seen, whole = 0, False
    ends = time.monotonic() + SLOW

    async def receiving() -> Message:
        nonlocal seen, whole
        if whole:
            return await receive()  # waits for the visitor to leave, which may take as long as it likes
        try:
            message = await asyncio.wait_for(receive(), ends - time.monotonic())
        except TimeoutError as reason:
            raise HTTPException(408, f"a request must be whole within {SLOW:g} seconds") from reason
        seen += len(message.get("body", b""))
        whole = not message.get("more_body", False)
        if seen > BODY:
            raise HTTPException(413, f"a request may have at most {BODY // 2**20} MiB")
        return message

    return receiving


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return sending
