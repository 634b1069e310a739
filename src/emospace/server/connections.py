"""Connections: the head of a request must arrive in time, and a server that stops lets requests finish."""

from __future__ import annotations

import asyncio
import socket
import time
from http import HTTPStatus
from types import FrameType

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from emospace.display import say
from emospace.server.failures import ApiError

HEAD_SECONDS = 15.0
"""How long the request line and headers may take to arrive."""

LEAVING_SECONDS = 5
"""Beyond the drain, for clients that do not read what they are told and a computation that cannot be broken off."""


class Connection(H11Protocol):
    """A client's connection: closed where the head of a request does not arrive in time."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Take bytes; a head that comes byte by byte has no more time than another."""
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        super().connection_lost(exc)
        self._forget()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, in the shape of every other error."""
        self._refuse(ApiError(400, msg, "invalid_http"))

    def _watch(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self._forget()
        elif self._deadline is None and not self.transport.is_closing():
            self._deadline = self.loop.call_later(HEAD_SECONDS, self._too_slow)

    def _forget(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self) -> None:
        self._deadline = None
        if self.cycle is not None and not self.cycle.response_complete:
            return
        if self.conn.trailing_data[0]:
            self._refuse(ApiError(408, "The headers did not arrive in time.", "headers_too_slow"))
        else:
            self.transport.close()

    def _refuse(self, error: ApiError) -> None:
        if self.transport.is_closing():
            return
        body = error.body.model_dump_json().encode()
        head = (
            f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()


class Server(uvicorn.Server):
    """A server that gives requests under way `drain` seconds to finish when it is told to stop."""

    def __init__(self, config: uvicorn.Config, drain: float) -> None:
        super().__init__(config)
        self.drain = drain
        self._hurries = False

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop; told so again, end what is under way; the third time, without a word."""
        if self.should_exit and not self._hurries:
            self._hurries = True
        else:
            super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept nothing more, wait for what is under way, then tell the rest that the server stops."""
        if self.server_state.tasks:
            say(
                f"Stopping: requests under way have {self.drain:g} s to finish ({len(self.server_state.tasks)}). "
                "Ctrl-C ends them at once."
            )
        ending = asyncio.create_task(self._end_late())
        try:
            await super().shutdown(sockets)
        finally:
            ending.cancel()

    async def _end_late(self) -> None:
        deadline = time.monotonic() + self.drain
        while time.monotonic() < deadline and not self._hurries:
            await asyncio.sleep(0.1)
        # The gate makes an error of it that the client can read.
        for task in self.server_state.tasks:
            task.cancel()
