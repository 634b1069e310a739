"""`/v1/chat/completions` and `/v1/completions`: OpenAI's answers, whole or streamed, in a tone."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, NamedTuple

from fastapi import APIRouter, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from emospace.generation.answering import Answer, Event
from emospace.generation.decoding import EMPTY, Parts
from emospace.server.beside import beside
from emospace.server.engine import Engine, Stopped
from emospace.server.failures import ApiError, sse_error
from emospace.server.requests import begin_answers, check_model, describe_plan, read_prompts, read_ranges
from emospace.server.schemas import (
    ChatChoice,
    ChatCompletion,
    ChatMessage,
    ChatRequest,
    CompletionRequest,
    GateReport,
    Marked,
    Steered,
    TextChoice,
    TextCompletion,
    Usage,
)
from emospace.server.settings import Settings

GONE = 499
"""The status, seen by nobody, of a request whose client left."""


class Exchange:
    """The answers of one request, and their events as they come."""

    def __init__(
        self,
        engine: Engine,
        settings: Settings,
        request: ChatRequest | CompletionRequest,
        prompts: Sequence[Sequence[int]],
    ) -> None:
        self.is_chat = isinstance(request, ChatRequest)
        self.prompts = prompts
        self.head = {
            "id": f"{'chatcmpl' if self.is_chat else 'cmpl'}-{uuid.uuid4().hex}",
            "created": int(time.time()),
            "model": settings.model,
        }
        self.shows_usage = request.stream_options is not None and request.stream_options.include_usage
        loop, self.events = asyncio.get_running_loop(), asyncio.Queue[Event | None]()

        def emit(event: Event) -> None:
            try:
                loop.call_soon_threadsafe(self.events.put_nowait, event)
            except RuntimeError:  # the event loop is closed: nobody reads any more
                self.cancel()

        self.answers = begin_answers(engine, request, prompts, emit)
        self.plan = self.answers[0].plan
        self.is_steered = self.plan is not None

    async def each(self) -> AsyncIterator[Event]:
        """Yield the events of all answers until each has ended; raises the error of one that failed."""
        left = len(self.answers)
        while left:
            event = await self.events.get()
            if event is None:
                return
            if event.error is not None:
                raise event.error
            left -= event.finish is not None
            yield event

    async def cancel_when_left(self, receive: Receive) -> None:
        """Wait until the client leaves, then give its answers up."""
        while (await receive())["type"] != "http.disconnect":
            pass
        self.cancel()
        self.events.put_nowait(None)

    def cancel(self) -> None:
        """Give up what is not finished."""
        for answer in self.answers:
            answer.cancel()

    def usage(self) -> Usage:
        """Return the tokens of prompts, each counted once, and answers."""
        prompts = sum(len(prompt) for prompt in self.prompts)
        answers = sum(answer.n_tokens for answer in self.answers)
        return Usage(prompt_tokens=prompts, completion_tokens=answers, total_tokens=prompts + answers)

    def gate(self, answer: Answer) -> GateReport | None:
        """Return what the gate of an answer did, None where there was none."""
        state = answer.opening and answer.opening.state()
        if not state:
            return None
        read = state.readings
        return GateReport(
            condition=state.condition,
            opened_after=state.opened_after,
            low=min(read, default=None),
            high=max(read, default=None),
        )

    def steering(self, answers: Sequence[Answer]) -> Steered | None:
        """Return what steered answers, None for no tone."""
        if self.plan is None:
            return None
        applications = sum(answer.applications for answer in answers)
        return describe_plan(self.plan).model_copy(update={"applications": applications})


Lines = Callable[[Exchange], AsyncIterator[bytes]]
"""What writes the events of a request as the lines of its stream, without errors and the end."""


class Finished(NamedTuple):
    """All answers of a request: their texts, why each ended, and the pieces of steered ones."""

    texts: list[Parts]
    finishes: list[Any]
    marked: list[list[Marked]]


async def begin(
    engine: Engine, settings: Settings, body: ChatRequest | CompletionRequest, request: Request
) -> Exchange:
    """Queue the answers of a request; raises `ApiError` for what cannot be done as asked."""
    check_model(body.model, (settings.model, str(engine.model.identity.get("name")), engine.model.name))
    prompts = await beside(read_prompts, engine.model, body, engine.limits)
    await read_ranges(engine, request.state.client, body)
    exchange = Exchange(engine, settings, body, prompts)
    engine.submit(request.state.client, exchange.answers)
    return exchange


def completion_routes(engine: Engine, settings: Settings) -> APIRouter:
    """Return the routes that generate."""
    router = APIRouter(prefix="/v1", tags=["generation"])

    async def respond(body: ChatRequest | CompletionRequest, request: Request) -> Response:
        exchange = await begin(engine, settings, body, request)
        return EventStream(exchange, _lines) if body.stream else await _whole(exchange, request)

    @router.post("/chat/completions", response_model=ChatCompletion)
    async def chat(body: ChatRequest, request: Request) -> Any:
        """Continue a conversation, in a tone where one is given."""
        return await respond(body, request)

    @router.post("/completions", response_model=TextCompletion)
    async def complete(body: CompletionRequest, request: Request) -> Any:
        """Continue a text, in a tone where one is given."""
        return await respond(body, request)

    @router.post("/embeddings")
    async def embed() -> Any:
        """Refuse: a model that generates has no embedding of a text that one could search with."""
        why = "This server gives no embeddings: its model generates. POST /v1/read gives the emotions of a text."
        raise ApiError(400, why, "unsupported")

    return router


async def finished(exchange: Exchange, request: Request) -> Finished | None:
    """Return all answers of a request when each has ended; None where the client left."""
    leaving = asyncio.create_task(exchange.cancel_when_left(request.receive))
    texts = [EMPTY] * len(exchange.answers)
    finishes: list[Any] = [None] * len(exchange.answers)
    marked: list[list[Marked]] = [[] for _ in exchange.answers]
    try:
        async for event in exchange.each():
            texts[event.index] = texts[event.index].then(event.piece)
            finishes[event.index] = event.finish or finishes[event.index]
            marked[event.index].append(Marked(text=event.text, shift=event.shift, steered=event.steered))
    finally:
        leaving.cancel()
        exchange.cancel()
    return None if None in finishes else Finished(texts, finishes, marked)


async def _whole(exchange: Exchange, request: Request) -> Response:
    """Return all answers of a request in OpenAI's form."""
    answers = await finished(exchange, request)
    if answers is None:
        return Response(status_code=GONE)
    shared: dict[str, Any] = {
        **exchange.head,
        "usage": exchange.usage(),
        "steering": exchange.steering(exchange.answers),
    }
    kept = answers.marked if exchange.is_steered else [None] * len(answers.marked)
    gates = [exchange.gate(answer) for answer in exchange.answers]
    ends = enumerate(zip(answers.texts, answers.finishes, kept, gates, strict=True))
    completion: ChatCompletion | TextCompletion
    if exchange.is_chat:
        chats = [
            ChatChoice(
                index=index,
                message=ChatMessage(content=text.answer, reasoning_content=text.reasoning or None),
                finish_reason=finish,
                marked=pieces,
                gate=gate,
            )
            for index, (text, finish, pieces, gate) in ends
        ]
        completion = ChatCompletion(choices=chats, **shared)
    else:
        plain = [
            TextChoice(index=index, text=text.answer, finish_reason=finish, marked=pieces, gate=gate)
            for index, (text, finish, pieces, gate) in ends
        ]
        completion = TextCompletion(choices=plain, **shared)
    # Clients that know OpenAI's fields alone see nothing else where nothing else was asked for.
    left_out: Any = None if exchange.is_steered else {"choices": {"__all__": {"marked", "gate"}}}
    return Response(completion.model_dump_json(exclude=left_out), media_type="application/json")


class EventStream(Response):
    """A stream of a request's events; its answers are given up when the client leaves.

    Parameters
    ----------
    lines
        Writes the events.
    error
        Writes what went wrong after the first byte: the status is long sent.
    """

    def __init__(
        self,
        exchange: Exchange,
        lines: Lines,
        media_type: str = "text/event-stream; charset=utf-8",
        error: Callable[[Exception], bytes] = sse_error,
        end: bytes = b"data: [DONE]\n\n",
    ) -> None:
        super().__init__(media_type=media_type)
        del self.headers["content-length"]
        self.headers["cache-control"] = "no-store"
        self.headers["x-accel-buffering"] = "no"
        self.exchange, self.lines, self.error, self.end = exchange, lines, error, end

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        leaving = asyncio.create_task(self.exchange.cancel_when_left(receive))
        # Some servers say by an error that nobody listens any more.
        try:
            await send(
                {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
            )
            async for line in self._all_lines():
                await send({"type": "http.response.body", "body": line, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except OSError:
            pass
        finally:
            leaving.cancel()
            self.exchange.cancel()

    async def _all_lines(self) -> AsyncIterator[bytes]:
        try:
            async for line in self.lines(self.exchange):
                yield line
        except asyncio.CancelledError:
            yield self.error(Stopped())
        except Exception as error:
            yield self.error(error)
        if self.end:
            yield self.end


async def _lines(exchange: Exchange) -> AsyncIterator[bytes]:
    """Yield the chunks of a chat or a text in OpenAI's form."""
    if exchange.is_chat:
        for answer in exchange.answers:
            yield _chunk(exchange, answer, {"role": "assistant", "content": ""})
    async for event in exchange.each():
        answer = exchange.answers[event.index]
        if event.piece.reasoning:
            yield _chunk(exchange, answer, {"reasoning_content": event.piece.reasoning})
        if event.text:
            yield _chunk(exchange, answer, {"content": event.text}, event=event)
        if event.finish:
            yield _chunk(exchange, answer, {}, event.finish, event=None if event.text else event)
    if exchange.shows_usage:
        yield _line(exchange, choices=[], usage=exchange.usage().model_dump())


def _chunk(
    exchange: Exchange,
    answer: Answer,
    delta: dict[str, str],
    finish: str | None = None,
    event: Event | None = None,
) -> bytes:
    text: dict[str, Any] = {"delta": delta} if exchange.is_chat else {"text": delta.get("content", "")}
    choice = {"index": answer.index, **text, "finish_reason": finish, "logprobs": None}
    if exchange.is_steered:
        choice |= {"shift": event.shift if event else 0.0, "steered": bool(event and event.steered)}
    if finish and (gate := exchange.gate(answer)):
        choice["gate"] = gate.model_dump()
    steered = exchange.steering([answer]) if finish else None
    more = {"steering": steered.model_dump()} if steered else {}
    return _line(exchange, choices=[choice], **more)


def _line(exchange: Exchange, **fields: Any) -> bytes:
    kind = "chat.completion.chunk" if exchange.is_chat else "text_completion"
    chunk = {"object": kind, **exchange.head, **fields}
    return b"data: " + json.dumps(chunk, ensure_ascii=False).encode() + b"\n\n"
