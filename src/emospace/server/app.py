"""The application, its routes, gate and errors around one engine, and how it is served."""

from __future__ import annotations

import asyncio
import logging
import math
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import uvicorn
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, JSONResponse, Response

import emospace
from emospace.display import say
from emospace.errors import EmospaceError
from emospace.server.completions import completion_routes
from emospace.server.connections import LEAVING_SECONDS, Connection, Server
from emospace.server.emotions import emotion_routes
from emospace.server.engine import Busy, Engine, Stopped
from emospace.server.failures import ApiError, ErrorBody, api_error, from_validation
from emospace.server.gate import Gate
from emospace.server.memory import return_large_blocks
from emospace.server.ollama import ollama_routes
from emospace.server.pages import page_routes, reference
from emospace.server.reading import reading_routes
from emospace.server.responses import response_routes
from emospace.server.runs import Runs, run_routes
from emospace.server.settings import Settings

POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
"""Of the reference, whose style stands in the page."""

BACKLOG = 256

CODES = {400: "invalid_json", 404: "not_found", 405: "method_not_allowed"}


def create_app(engine: Engine, settings: Settings | None = None) -> FastAPI:
    """Return the application; the engine's thread runs from its start to its end.

    Raises
    ------
    EmospaceError
        If the settings would let others use the server without a key.
    """
    settings = (settings or Settings()).check()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        engine.start()
        yield
        await asyncio.to_thread(engine.stop, LEAVING_SECONDS)

    app = FastAPI(
        title="emospace",
        version=emospace.__version__,
        description="A language model's emotional tone, read and set through an OpenAI-compatible API.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        responses={"4XX": {"model": ErrorBody}, "5XX": {"model": ErrorBody}},
    )
    app.add_middleware(Gate, settings=settings, limits=engine.limits, metrics=engine.metrics)
    for kind in (ApiError, Busy, Stopped, EmospaceError):
        app.add_exception_handler(kind, _failed)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)

    @app.get("/healthz", tags=["server"])
    async def health() -> JSONResponse:
        """Tell whether the engine runs."""
        status = {"status": "ok" if engine.running else "stopped", "model": settings.model}
        return JSONResponse(status, 200 if engine.running else 503)

    @app.get("/metrics", tags=["server"])
    async def metrics() -> Response:
        """Give counters in Prometheus' text format."""
        return Response(engine.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get("/docs", include_in_schema=False)
    def docs() -> HTMLResponse:
        return HTMLResponse(reference(app.openapi()), headers={"content-security-policy": POLICY})

    runs = Runs(settings.runs)
    for routes in (
        completion_routes(engine, settings),
        response_routes(engine, settings),
        ollama_routes(engine, settings),
        emotion_routes(engine, settings),
        reading_routes(engine, settings, runs),
        run_routes(runs),
    ):
        app.include_router(routes)
    app.include_router(page_routes())
    return app


async def _failed(_: Request, error: Exception) -> Response:
    return api_error(error).response()


async def _invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return from_validation(list(error.errors())).response()


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    messages: dict[int, str] = {
        404: f"There is nothing at {request.url.path}.",
        405: f"{request.method} is not possible here.",
    }
    message = messages.get(error.status_code, str(error.detail))
    code = CODES.get(error.status_code, "invalid_value")
    return ApiError(error.status_code, message, code, headers=error.headers).response()


def serve(engine: Engine, settings: Settings) -> None:
    """Bind, print the address, and serve until interrupted.

    Raises
    ------
    EmospaceError
        If the address cannot be bound.
    """
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    return_large_blocks()
    bound = bind(settings)
    port = bound.getsockname()[1]
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    say(f"http://{host}:{port}  ({settings.model}; API at /v1, reference at /docs; Ctrl-C ends)")
    with suppress(KeyboardInterrupt):
        uvicorn_server(engine, settings).run(sockets=[bound])


def uvicorn_server(engine: Engine, settings: Settings) -> Server:
    """Return the server of an engine, not yet running."""
    config = uvicorn.Config(
        create_app(engine, settings),
        log_config=None,
        access_log=False,
        server_header=False,
        # Whoever sits before the server must not name another client: fairness goes by address.
        proxy_headers=False,
        ws="none",
        http=Connection,
        timeout_graceful_shutdown=math.ceil(settings.drain) + LEAVING_SECONDS,
    )
    return Server(config, settings.drain)


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
