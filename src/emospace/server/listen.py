"""Bind, tell where, and serve until interrupted."""

from __future__ import annotations

import logging
import socket
from contextlib import suppress

import uvicorn

from emospace.display import say
from emospace.errors import EmospaceError
from emospace.server.app import create_app
from emospace.server.engine import Engine
from emospace.server.settings import Settings

BACKLOG, LEAVING_SECONDS = 256, 5


def listen(engine: Engine, settings: Settings) -> None:
    """Serve until interrupted.

    Raises
    ------
    EmospaceError
        If the address cannot be bound.
    """
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    bound = bind(settings)
    port = bound.getsockname()[1]
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    say(f"http://{host}:{port}  ({settings.model}; API at /v1, reference at /docs; Ctrl-C ends)")
    with suppress(KeyboardInterrupt):
        server(engine, settings).run(sockets=[bound])


def server(engine: Engine, settings: Settings) -> uvicorn.Server:
    """Return the server of an engine, not yet running."""
    config = uvicorn.Config(
        create_app(engine, settings),
        log_config=None,
        access_log=False,
        server_header=False,
        # Whoever sits before the server must not name another client: fairness goes by address.
        proxy_headers=False,
        ws="none",
        timeout_graceful_shutdown=LEAVING_SECONDS,
    )
    return uvicorn.Server(config)


def bind(settings: Settings) -> socket.socket:
    """Return a listening socket; raises `EmospaceError` where the address is taken or not this machine's."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((settings.host.strip("[]"), settings.port))
    except OSError as error:
        bound.close()
        raise EmospaceError(
            f"{settings.host}:{settings.port}",
            f"it cannot be bound ({error.strerror or error})",
            "Give another --port (0: any that is free) or --host.",
        ) from error
    bound.listen(BACKLOG)
    return bound
