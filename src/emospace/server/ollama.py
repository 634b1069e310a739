"""`/api/chat`, `/api/tags` and `/api/version`: the same answers in the form that clients of Ollama read."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request
from fastapi.exceptions import RequestValidationError
from pydantic import ConfigDict, Field, ValidationError
from starlette.responses import JSONResponse, Response

import emospace
from emospace.server.completions import GONE, EventStream, Exchange, begin, finished
from emospace.server.engine import Engine
from emospace.server.failures import api_error
from emospace.server.schemas import ChatRequest, Message, Tone
from emospace.server.settings import Settings

SECOND = 1_000_000_000
"""Ollama counts nanoseconds."""

RENAMED: Mapping[str, str] = {"num_predict": "max_tokens"}
"""Option of Ollama -> field of a chat. Other options have the names of the fields."""

UNUSED_OPTIONS = (
    *("num_ctx", "num_batch", "num_gpu", "main_gpu", "num_thread", "num_keep", "numa", "low_vram", "f16_kv"),
    *(
        "use_mmap",
        "use_mlock",
        "vocab_only",
        "penalize_newline",
        "mirostat_tau",
        "mirostat_eta",
        "repeat_last_n",
    ),
)
"""Options about the machine, or about what is off: let pass."""


class OllamaChat(Tone):
    """A conversation to be continued, as Ollama has it; a tone stands beside the options, or among them."""

    model_config = ConfigDict(extra="forbid")

    model: str | None = Field(default=None, max_length=500)
    messages: list[Message] = Field(min_length=1, max_length=1000)
    stream: bool | None = True
    options: dict[str, Any] | None = Field(default=None, examples=[{"temperature": 0.8, "num_predict": 100}])
    format: Any = None
    tools: Any = None
    think: bool | None = Field(default=None, description="the template's enable_thinking, where it has one")
    keep_alive: Any = None

    def chat(self) -> ChatRequest:
        """Return the same as a request of ``/v1/chat/completions``."""
        options = {
            RENAMED.get(name, name): value
            for name, value in (self.options or {}).items()
            if name not in UNUSED_OPTIONS
        }
        if isinstance(options.get("max_tokens"), int) and options["max_tokens"] < 0:
            options["max_tokens"] = None
        tone = self.model_dump(include=set(Tone.model_fields), exclude_unset=True)
        more = {"response_format": self.format or None, "tools": self.tools or None}
        if self.think is not None:
            more["chat_template_kwargs"] = {"enable_thinking": self.think}
        messages = [message.model_dump(exclude_unset=True) for message in self.messages]
        try:
            return ChatRequest.model_validate(
                {**options, **tone, **more, "model": self.model, "messages": messages}
            )
        except ValidationError as error:
            raise RequestValidationError(error.errors()) from error


def ollama_routes(engine: Engine, settings: Settings) -> APIRouter:
    """Return the routes for clients of Ollama."""
    router = APIRouter(prefix="/api", tags=["ollama"])
    begun = _stamp(time.time())

    @router.post("/chat")
    async def chat(body: OllamaChat, request: Request) -> Any:
        """Continue a conversation in the form of Ollama, in a tone where one is given."""
        start = time.monotonic()
        asked = body.chat()
        # Clients add a tag to a name that has none.
        if asked.model is not None:
            asked.model = asked.model.removesuffix(":latest")
        exchange = await begin(engine, settings, asked, request)

        async def lines(exchange: Exchange) -> AsyncIterator[bytes]:
            async for event in exchange.each():
                piece = event.piece
                if piece.reasoning or event.text:
                    yield _line(exchange, event.text, piece.reasoning, done=False)
                if event.finish:
                    yield _line(exchange, "", "", **_end(exchange, event.finish, start))

        if body.stream is not False:
            return EventStream(exchange, lines, "application/x-ndjson", _error, b"")
        answers = await finished(exchange, request)
        if answers is None:
            return Response(status_code=GONE)
        text = answers.texts[0]
        whole = _line(exchange, text.answer, text.reasoning, **_end(exchange, answers.finishes[0], start))
        return Response(whole, media_type="application/json")

    @router.get("/tags")
    def tags() -> JSONResponse:
        """List the one model that is served."""
        model = engine.model
        family = str(model.model.config.model_type)
        details = {
            "format": "safetensors",
            "family": family,
            "families": [family],
            "parameter_size": f"{model.model.num_parameters() / 1e6:.0f}M",
            "quantization_level": "",
        }
        card = {
            "name": settings.model,
            "model": settings.model,
            "modified_at": begun,
            "size": 0,
            "digest": model.weights_hash,
            "details": details,
        }
        return JSONResponse({"models": [card]})

    @router.get("/version")
    def version() -> JSONResponse:
        """Give the version of emospace."""
        return JSONResponse({"version": emospace.__version__})

    return router


def _stamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def _line(exchange: Exchange, text: str, thought: str, **fields: Any) -> bytes:
    message = {"role": "assistant", "content": text, **({"thinking": thought} if thought else {})}
    head = {"model": exchange.head["model"], "created_at": _stamp(time.time()), "message": message}
    return json.dumps({**head, **fields}, ensure_ascii=False).encode() + b"\n"


def _end(exchange: Exchange, finish: str, start: float) -> dict[str, Any]:
    usage, steered = exchange.usage(), exchange.steering(exchange.answers)
    return {
        "done": True,
        "done_reason": finish,
        "total_duration": round((time.monotonic() - start) * SECOND),
        "load_duration": 0,
        "prompt_eval_count": usage.prompt_tokens,
        "eval_count": usage.completion_tokens,
        "steering": None if steered is None else steered.model_dump(),
    }


def _error(error: Exception) -> bytes:
    return json.dumps({"error": api_error(error).body.error.message}).encode() + b"\n"
