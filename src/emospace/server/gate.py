"""The gate: what every request passes before the application sees it, and every response on its way out."""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
import uuid
from collections.abc import Mapping
from hashlib import sha256
from typing import Any
from urllib.parse import quote

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from emospace.server.engine import Metrics, Stopped
from emospace.server.failures import ApiError, api_error
from emospace.server.settings import Settings
from emospace.specs import Limits

log, access = logging.getLogger(__name__), logging.getLogger("emospace.server.access")

BODY_SECONDS = 30.0
"""How long a body may take to arrive."""

DRAINED = 32_000_000
"""Bytes of a body too large that are read, and thrown away, before the connection is closed on it."""

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")

HEADERS: Mapping[str, str] = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "content-security-policy": (
        # Plotly sets styles of the elements it draws; no sheet but the page's own applies.
        "default-src 'none'; script-src 'self'; style-src 'self'; style-src-attr 'unsafe-inline'; "
        "img-src 'self' data:; font-src 'self'; "
        "connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
}


class Gate:
    """Checks name, origin, key and body of a request; names and counts its response; turns faults into errors."""

    def __init__(self, app: ASGIApp, settings: Settings, limits: Limits, metrics: Metrics) -> None:
        self.app, self.settings, self.limits, self.metrics = app, settings, limits, metrics
        self.names = {*LOOPBACK_NAMES, settings.host.strip("[]"), *settings.names}
        self.keys = [sha256(key.get_secret_value().encode()).digest() for key in settings.api_keys]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        name, start = uuid.uuid4().hex, time.monotonic()
        method, origin = scope["method"], Headers(scope=scope).get("origin", "")
        status = 0
        if method == "HEAD":
            # It is answered as GET: only the body is left out.
            scope = {**scope, "method": "GET"}

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = name
                for header, value in HEADERS.items():
                    headers.setdefault(header, value)
                if origin in self.settings.origins:
                    headers["access-control-allow-origin"] = origin
                    headers["access-control-expose-headers"] = "x-request-id, retry-after"
                if self.settings.origins:
                    headers.add_vary_header("origin")
            elif method == "HEAD":
                message = {**message, "body": b""}
            await send(message)

        try:
            scope.setdefault("state", {})["client"] = self._admit(scope)
            if asks_before(scope):
                await preflight(scope)(scope, receive, answer)
            else:
                await self.app(scope, await self._body(scope, receive), answer)
        except ApiError as error:
            await error.response()(scope, receive, answer)
        # Only a server that stops cancels requests, after the time they had to finish.
        except asyncio.CancelledError:
            if not status:
                await api_error(Stopped()).response()(scope, receive, answer)
        except Exception as error:
            log.exception("request %s failed", name)
            if not status:
                await api_error(error).response()(scope, receive, answer)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            self.metrics.requests.labels(route, str(status or 499)).inc()
            seconds = time.monotonic() - start
            self.metrics.seconds.labels(route).observe(seconds)
            client = scope["state"].get("client") or _address(scope)
            place = self._without_keys(quote(scope["path"]))
            access.info('%s "%s %s" %s %.3f s %s', client, method, place, status or 499, seconds, name)

    def _without_keys(self, text: str) -> str:
        for key in self.settings.api_keys:
            text = text.replace(quote(key.get_secret_value()), "KEY")
        return text

    def _admit(self, scope: Scope) -> str:
        """Return who asks: the number of the key, or an address; raises `ApiError`."""
        headers = Headers(scope=scope)
        if self.settings.is_loopback or self.settings.names:
            hosts = headers.getlist("host")
            if len(hosts) != 1 or _name(hosts[0]) not in self.names:
                host = _name(hosts[0]) if hosts else "NAME"
                raise ApiError(
                    403,
                    "This server does not answer to that host name. Who runs it can allow it: emospace serve "
                    f"--allow-host {host}",
                    "host_not_allowed",
                )
        origin = headers.get("origin")
        is_foreign = origin is not None and origin.partition("://")[2] != headers.get("host")
        if is_foreign and origin not in self.settings.origins:
            raise ApiError(
                403,
                "Pages of other origins may not use this server. Who runs it can allow one by its name: emospace "
                f"serve --allow-origin {'https://HOST' if origin in ('', 'null') else origin}",
                "origin_not_allowed",
            )
        path = scope["path"]
        if asks_before(scope):
            return _address(scope)
        if self.keys and (path == "/metrics" or path.startswith(("/v1/", "/api/"))):
            return self._key(headers.get("authorization", ""))
        return _address(scope)

    def _key(self, given: str) -> str:
        scheme, _, key = given.partition(" ")
        digest = sha256(key.strip().encode()).digest()
        # All are compared, whichever fits.
        matching = [place for place, valid in enumerate(self.keys) if hmac.compare_digest(valid, digest)]
        if scheme.lower() != "bearer" or not matching:
            raise ApiError(
                401,
                "Give a valid API key: Authorization: Bearer KEY.",
                "invalid_api_key",
                headers={"WWW-Authenticate": "Bearer"},
            )
        return f"key {matching[0]}"

    async def _body(self, scope: Scope, receive: Receive) -> Receive:
        """Read the body within its bounds and return a `receive` that begins with it."""
        if scope["method"] not in ("POST", "PUT", "PATCH", "DELETE"):
            return receive
        kind = Headers(scope=scope).get("content-type", "").partition(";")[0].strip().lower()
        if scope["method"] == "POST" and kind != "application/json":
            # A page of another origin can send other types without asking.
            raise ApiError(415, "Send JSON, with Content-Type: application/json.", "not_json")
        limit = self.limits.body_bytes
        too_large = ApiError(
            413,
            f"The body has more than {limit:,} bytes (emospace serve --max-body).",
            "body_too_large",
            headers={"Connection": "close"},
        )
        length = Headers(scope=scope).get("content-length", "0")
        if length.isdecimal() and int(length) > DRAINED:
            raise too_large
        parts: list[bytes] = []
        size, more = 0, True
        try:
            async with asyncio.timeout(BODY_SECONDS):
                while more and size <= DRAINED:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        parts = []
                        break
                    size += len(message.get("body", b""))
                    more = message.get("more_body", False)
                    if size <= limit:
                        parts.append(message.get("body", b""))
                    else:  # read on, keeping nothing: who is still writing does not read an answer
                        parts.clear()
        except TimeoutError:
            raise ApiError(408, "The body did not arrive in time.", "body_too_slow") from None
        if size > limit:
            raise too_large
        first: list[Any] = [{"type": "http.request", "body": b"".join(parts), "more_body": False}]

        async def replay() -> Message:
            return first.pop() if first else await receive()

        return replay


def asks_before(scope: Scope) -> bool:
    """Return whether a browser asks if a page of a foreign origin may send a request."""
    return scope["method"] == "OPTIONS" and "access-control-request-method" in Headers(scope=scope)


def preflight(scope: Scope) -> Response:
    """Return the answer to a browser that asks for a page that may."""
    headers = {
        "access-control-allow-methods": "GET, HEAD, POST",
        "access-control-allow-headers": Headers(scope=scope).get("access-control-request-headers", "*"),
        "access-control-max-age": "600",
    }
    return Response(status_code=204, headers=headers)


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return client[0] if client else "local"


def _name(host: str) -> str:
    """Return a host header's name without its port."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].lower()
